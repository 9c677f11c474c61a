"""Tasks that the server gives to this worker: columns become runs, and inputs that are not here are ordered."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from rain.core import resources
from rain.core.errors import ProtocolViolation
from rain.core.ids import object_name
from rain.protocol.columns import EMPTY, check_total, unpack
from rain.protocol.worker import Compute, NumberedSpec
from rain.worker.machine.cancel import cancel_tasks
from rain.worker.machine.effects import LearnPeers
from rain.worker.machine.numbers import steady_end
from rain.worker.machine.outbox import TurnEffects
from rain.worker.machine.state import HeldRun, HeldSession, Lane, Spec, State
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
    for run in rows.runs(state.next_order):
        _accept(state, session, run, lost, outbox)
    state.next_order += len(rows.tasks)
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
        self._user_positions = sorted(self.users)
        if self.users and not all(0 <= position < n_rows for position in self.users):
            raise ProtocolViolation(f"task_users: a position is beyond the {n_rows} tasks of the message")
        unknown = set(self.specs) - session.specs.keys()
        if unknown:
            raise ProtocolViolation(f"s{session.number}: specs {sorted(unknown)} were never sent to this worker")
        self._known = session.specs

    def runs(self, order: int) -> Iterator[HeldRun]:
        """All tasks, those that are neighbours and alike as one; `order` of the first."""
        args_sizes = memoryview(self.args_sizes)
        start = args_at = inputs_at = 0
        while start < len(self.tasks):
            spec = self._known[self.specs[start]]
            stop = self._run_end(start, spec)
            args_end = args_at + sum(args_sizes[start:stop])
            inputs_end = inputs_at + self.n_inputs[start]
            yield HeldRun(
                self.tasks[start],
                stop - start,
                self.attempts[start],
                spec,
                self.first_outputs[start],
                order + start,
                self.args[args_at:args_end] if args_end > args_at else EMPTY,
                args_sizes[start:stop] if stop - start > 1 else EMPTY,
                tuple(self.inputs[inputs_at:inputs_end]) if inputs_end > inputs_at else (),
                self.users.get(start, b"") if self.users else b"",
            )
            start, args_at, inputs_at = stop, args_end, inputs_end

    def _run_end(self, start: int, spec: Spec) -> int:
        """The row after those that are one run with this one: alike, numbered on, without inputs and users."""
        end = len(self.tasks)
        if self.n_inputs[start] or start + 1 == end or self.tasks[start + 1] != self.tasks[start] + 1:
            return start + 1
        if self.users:
            if start in self.users:
                return start + 1
            place = bisect_right(self._user_positions, start)
            end = self._user_positions[place] if place < len(self._user_positions) else end
        for column, step in (
            (self.tasks, 1),
            (self.first_outputs, spec.n_outputs),
            (self.specs, 0),
            (self.attempts, 0),
            (self.n_inputs, 0),
        ):
            end = steady_end(column, start, end, step)
        return end


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
            object_present(state, session, obj)
        elif obj in session.present:
            # The server does not count on it; it has to, or it would never drop the object.
            outbox.fetched(session.number, obj)
        elif obj not in session.fetching:
            if holder == state.number:
                raise ProtocolViolation(f"{object_name(session.number, obj)} is to be fetched from this worker itself")
            session.fetching[obj] = holder
            outbox.fetch(session.number, holder, obj, size)


def _accept(state: State, session: HeldSession, run: HeldRun, lost: dict[int, int], outbox: TurnEffects) -> None:
    if session.tasks.get(run.task) is not None if run.count == 1 else session.tasks.any_of(run.task, run.count):
        while run.count > 1:
            _accept(state, session, run.cut(1), lost, outbox)
        known = session.tasks.get(run.task)
        if known is not None:
            if known.attempt >= run.attempt:
                return
            cancel_tasks(state, session, (run.task,), outbox)
    session.tasks.set(run.task, run, run.count)
    session.making.add(run.first_output, run.n_outputs)
    if run.inputs:
        _await_inputs(state, session, run, lost)
    if not run.missing:
        make_ready(state, run)


def _await_inputs(state: State, session: HeldSession, task: HeldRun, lost: dict[int, int]) -> None:
    for obj in set(task.inputs):
        session.needed[obj] = session.needed.get(obj, 0) + 1
        if obj in session.present:
            continue
        session.waiters.setdefault(obj, []).append(task)
        task.missing += 1
        if obj not in session.fetching and obj not in session.making:
            lost[obj] = state.number
