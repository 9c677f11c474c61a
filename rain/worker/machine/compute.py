"""Tasks that the server gives to this worker: columns become tasks, and inputs that are not here are ordered."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from rain.core import resources
from rain.core.errors import ProtocolViolation
from rain.core.ids import object_name
from rain.protocol.columns import EMPTY, Column, check_total, unpack
from rain.protocol.worker import Compute, NumberedSpec
from rain.worker.machine.cancel import cancel_tasks
from rain.worker.machine.effects import LearnPeers, QueuedTask
from rain.worker.machine.outbox import TurnEffects
from rain.worker.machine.state import HeldSession, HeldTask, Lane, Spec, State
from rain.worker.machine.transitions import give_back, make_ready, object_present


def compute(state: State, message: Compute, outbox: TurnEffects) -> None:
    """Accepts the tasks; those whose inputs are all present are ready at once.

    Raises ProtocolViolation, before anything else has changed, when the message contradicts itself.
    """
    session = state.sessions.get(message.session)
    if session is None:
        session = state.sessions[message.session] = HeldSession(message.session)
    _learn_specs(state, session, message.specs)
    rows = _Rows(session, message)
    if message.peers:
        outbox.order(LearnPeers(message.peers))
    if message.source:
        _take_sources(state, session, message, outbox)
    lost: dict[int, int] = {}
    for queued in rows.with_users() if rows.users else rows:
        _accept(state, session, queued, lost, outbox)
    if lost:
        give_back(session, lost, outbox)


class _Rows:
    """The tasks of a `Compute`, checked."""

    def __init__(self, session: HeldSession, message: Compute) -> None:
        self.tasks = unpack("I", message.task, "task")
        n_rows = len(self.tasks)
        self.specs = unpack("I", message.spec, "spec", n_rows)
        self.attempts = unpack("I", message.attempt, "attempt", n_rows)
        self.first_outputs = unpack("I", message.first_output, "first_output", n_rows)
        self.n_inputs = unpack("I", message.n_inputs, "n_inputs", n_rows)
        self.inputs = unpack("I", message.inputs, "inputs")
        check_total(self.n_inputs, len(self.inputs), "inputs")
        self.args_sizes = unpack("I", message.args_size, "args_size", n_rows)
        self.args = message.args
        check_total(self.args_sizes, len(self.args), "args")
        self.users = dict(message.task_users)
        if self.users and not all(0 <= position < n_rows for position in self.users):
            raise ProtocolViolation(f"task_users: a position is beyond the {n_rows} tasks of the message")
        unknown = set(self.specs) - session.specs.keys()
        if unknown:
            raise ProtocolViolation(f"s{session.number}: specs {sorted(unknown)} were never sent to this worker")

    def __iter__(self) -> Iterator[QueuedTask]:
        columns = zip(self.tasks, self.attempts, self.specs, self.first_outputs, strict=True)
        args: Column = EMPTY
        inputs: tuple[int, ...] = ()
        args_at = inputs_at = 0
        for row, n_inputs, args_size in zip(columns, self.n_inputs, self.args_sizes, strict=True):
            args, inputs = EMPTY, ()
            if args_size:
                args = self.args[args_at : args_at + args_size]
                args_at += args_size
            if n_inputs:
                inputs = tuple(self.inputs[inputs_at : inputs_at + n_inputs])
                inputs_at += n_inputs
            yield QueuedTask(*row, args, inputs)

    def with_users(self) -> Iterator[QueuedTask]:
        """The tasks, each with what its author attached to it."""
        for position, queued in enumerate(self):
            user = self.users.get(position)
            yield queued if user is None else replace(queued, user=user)


def _learn_specs(state: State, session: HeldSession, specs: tuple[NumberedSpec, ...]) -> None:
    for numbered in specs:
        if numbered.number in session.specs:
            continue
        spec = numbered.spec
        if not resources.slots(state.offer, spec.request):
            raise ProtocolViolation(
                f"s{session.number}: a task asks for {spec.request.describe()}, more than this worker has at all"
            )
        lane = session.lanes.get(spec.request)
        if lane is None:
            lane = session.lanes[spec.request] = Lane(session.number, state.request_class(spec.request))
        session.specs[numbered.number] = Spec(numbered.number, spec, lane, len(spec.outputs))


def _take_sources(state: State, session: HeldSession, message: Compute, outbox: TurnEffects) -> None:
    objects = unpack("I", message.source, "source")
    holders = unpack("I", message.source_holder, "source_holder", len(objects))
    sizes = unpack("Q", message.source_size, "source_size", len(objects))
    inline = unpack("B", message.source_inline, "source_inline", len(objects))
    for obj, holder, size, is_inline in zip(objects, holders, sizes, inline, strict=True):
        session.doomed.discard(obj)
        if is_inline:
            outbox.keep(session.number, obj)
            object_present(state, session, obj, size)
        elif obj in session.present:
            # The server does not count on it; it has to, or it would never drop the object.
            outbox.fetched(session.number, obj)
        elif obj not in session.fetching:
            if holder == state.number:
                raise ProtocolViolation(f"{object_name(session.number, obj)} is to be fetched from this worker itself")
            session.fetching[obj] = holder
            outbox.fetch(session.number, holder, obj, size)


def _accept(state: State, session: HeldSession, queued: QueuedTask, lost: dict[int, int], outbox: TurnEffects) -> None:
    known = session.tasks.get(queued.task)
    if known is not None:
        if known.queued.attempt >= queued.attempt:
            return
        cancel_tasks(state, session, [known], outbox)
    spec = session.specs[queued.spec]
    task = HeldTask(queued, spec, state.next_order)
    state.next_order += 1
    session.tasks[queued.task] = task
    for obj in range(queued.first_output, queued.first_output + spec.n_outputs):
        session.making[obj] = task
    if queued.inputs:
        _await_inputs(state, session, task, lost)
    if not task.missing:
        make_ready(state, task)


def _await_inputs(state: State, session: HeldSession, task: HeldTask, lost: dict[int, int]) -> None:
    for obj in set(task.queued.inputs):
        session.needed[obj] = session.needed.get(obj, 0) + 1
        if obj in session.present:
            continue
        session.waiters.setdefault(obj, []).append(task)
        task.missing += 1
        if obj not in session.fetching and obj not in session.making:
            lost[obj] = state.number
