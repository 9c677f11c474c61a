"""The message that gives tasks to a worker: columns, specs it has not got, and where its inputs are."""

from __future__ import annotations

from array import array

from rain.core.ids import SERVER
from rain.protocol.client import MAX_INLINE_CONSTANT, MAX_PART_BYTES
from rain.protocol.columns import EMPTY, column
from rain.protocol.transfer import Peer
from rain.protocol.worker import Compute, NumberedSpec
from rain.server.machine.effects import SendCompute
from rain.server.machine.incoming import expect
from rain.server.machine.state import ServerSession, ServerState, Worker
from rain.server.machine.stretches import is_stretch
from rain.server.machine.tables import AVAILABLE, STASHED
from rain.server.machine.transitions import add_holder
from rain.server.machine.waiters import content_type_of

#: Lists of fewer objects are asked for in the order of their numbers.
MIN_TO_TURN = 8


class _Sources:
    """The columns of a message's sources."""

    def __init__(self) -> None:
        self.objects = array("I")
        self.holders = array("I")
        self.sizes = array("Q")
        self.inline = array("B")
        self.content_types: list[str | None] = []
        #: Bytes that may still go with the message.
        self.budget = MAX_PART_BYTES


def compose(state: ServerState, worker: Worker, session: ServerSession, tasks: array[int]) -> None:
    """Orders the message that gives these tasks, in this order, to the worker, and notes when that was."""
    table = session.tasks
    first, n = tasks[0], len(tasks)
    if is_stretch(tasks):
        spec, attempt = table.spec[first : first + n], table.attempt[first : first + n]
        first_output = table.first_output[first : first + n]
        table.assigned_s[first : first + n] = array("I", (int(state.now),)) * n
    else:
        spec = array("I", map(table.spec.__getitem__, tasks))
        attempt = array("I", map(table.attempt.__getitem__, tasks))
        first_output = array("I", map(table.first_output.__getitem__, tasks))
        now = int(state.now)
        for task in tasks:
            table.assigned_s[task] = now
    n_inputs = array("I", bytes(4 * n))
    inputs = array("I")
    sources = _Sources()
    if table.inputs:
        starts = table.input_start
        for row, task in enumerate(tasks):
            begin, end = starts[task], starts[task + 1]
            if begin != end:
                n_inputs[row] = end - begin
                inputs.extend(table.inputs[begin:end])
        _find_sources(state, worker, session, inputs, sources)
    compute = Compute(
        session=session.number,
        specs=_new_specs(session, worker, spec),
        task=column(tasks),
        spec=column(spec),
        attempt=column(attempt),
        first_output=column(first_output),
        n_inputs=column(n_inputs),
        inputs=column(inputs),
        source=column(sources.objects),
        source_holder=column(sources.holders),
        source_size=column(sources.sizes),
        source_inline=column(sources.inline),
        source_types=tuple(sources.content_types),
        peers=_new_peers(state, worker, sources.holders),
        task_users=session.attached.of_tasks(tasks),
        object_users=session.attached.of_inputs(inputs),
    )
    state.outbox.say(SendCompute(worker.number, compute))


def compose_copies(state: ServerState, worker: Worker, session: ServerSession, objects: array[int]) -> None:
    """Orders the message that has the worker fetch objects from others, for no task; it reports them by `Fetched`."""
    sources = _Sources()
    _find_sources(state, worker, session, objects, sources)
    copies = Compute(
        session=session.number,
        specs=_new_specs(session, worker, array("I")),
        task=EMPTY,
        spec=EMPTY,
        attempt=EMPTY,
        first_output=EMPTY,
        n_inputs=EMPTY,
        source=column(sources.objects),
        source_holder=column(sources.holders),
        source_size=column(sources.sizes),
        source_inline=column(sources.inline),
        source_types=tuple(sources.content_types),
        peers=_new_peers(state, worker, sources.holders),
    )
    state.outbox.say(SendCompute(worker.number, copies))


def _new_specs(session: ServerSession, worker: Worker, numbers: array[int]) -> tuple[NumberedSpec, ...]:
    told = worker.specs_told.setdefault(session.number, set())
    new = sorted(set(numbers) - told)
    told.update(new)
    return tuple(NumberedSpec(number, session.specs[number]) for number in new)


def _new_peers(state: ServerState, worker: Worker, holders: array[int]) -> tuple[Peer, ...]:
    new = sorted(set(holders) - worker.peers_told - {SERVER})
    worker.peers_told.update(new)
    return tuple(state.workers[number].peer for number in new)


def _in_turn(objects: list[int], worker: int) -> list[int]:
    """The same objects, from another place on for each worker: many that need the same ask different holders first."""
    place = worker * 7919 % len(objects) if len(objects) >= MIN_TO_TURN else 0
    return objects[place:] + objects[:place]


def _find_sources(
    state: ServerState, worker: Worker, session: ServerSession, inputs: array[int], sources: _Sources
) -> None:
    """Names every input that the worker has not got and does not make itself; once each."""
    objects = session.objects
    flags, holder, number = objects.flags, objects.holder, worker.number
    for obj in _in_turn(sorted(set(inputs)), number):
        if holder[obj] == number or not flags[obj] & AVAILABLE or objects.is_held_by(obj, number):
            continue
        size = objects.size[obj]
        sources.objects.append(obj)
        sources.sizes.append(size)
        sources.content_types.append(content_type_of(session, obj))
        if flags[obj] & STASHED and size <= min(MAX_INLINE_CONSTANT, sources.budget):
            sources.budget -= size
            sources.holders.append(SERVER)
            sources.inline.append(1)
            add_holder(state, session, obj, number)
        else:
            sources.holders.append(expect(state, worker, session, obj))
            sources.inline.append(0)
