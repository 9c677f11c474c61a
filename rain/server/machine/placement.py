"""Which worker a task goes to that reads large data: moved bytes cost time, and so does waiting for a slot.

    wait = until a slot is free, by the work that the worker has
    move = until the inputs are there: what the worker still gets, and what is missing
    cost = max(wait, move) + ALPHA * missing / bandwidth         the network is shared: what one moves, others wait for

A task goes to the worker with the least cost if that has room. Where it has none, the task goes there all the same if
its inputs are under way for longer than it would wait; so data moves while the slots are busy. Otherwise the task is
held back until more is known: a long task that is buried in one worker's queue helps nobody.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from heapq import nlargest, nsmallest

from rain.core.ids import NONE
from rain.protocol.client import MAX_INLINE_CONSTANT
from rain.server.machine.incoming import LARGE, expect
from rain.server.machine.levels import expected_us
from rain.server.machine.refusals import workers_refusing
from rain.server.machine.rooms import Room, slots_of, staying
from rain.server.machine.state import ServerSession, ServerState, Worker
from rain.server.machine.tables import AVAILABLE, STASHED

#: How much a moved byte costs besides the time of its own task.
ALPHA = 0.5
#: So many holders of a task's inputs, and so many of the least busy workers, are looked at.
MAX_HOLDERS = 8
MAX_OTHERS = 4
#: Of tasks with more inputs it is not looked up which of them are under way.
MAX_LOOKED_UP = 64
NOTHING = (0, NONE)
NSRC = 9


@dataclass(slots=True)
class Placed:
    """What came of a batch of tasks."""

    #: By worker.
    given: dict[int, array[int]]
    #: Tasks for which any worker will do.
    anywhere: array[int]
    #: Tasks that better wait.
    held: array[int]


def place_at_data(state: ServerState, session: ServerSession, tasks: array[int], rooms: dict[int, Room]) -> Placed:
    """Finds a worker for each task that reads large data; the rooms shrink accordingly."""
    placed = Placed({}, array("I"), array("I"))
    input_start, spec = session.tasks.input_start, session.tasks.spec
    for task in tasks:
        weights = bytes_at(session, task) if input_start[task] != input_start[task + 1] else {}
        if not weights and task not in session.refusals:
            placed.anywhere.append(task)
            continue
        open_rooms = _unrefused(state, session, task, rooms) if task in session.refusals else rooms
        room, is_given = _best(state, session, task, weights, open_rooms)
        if room is not None:
            # One that is held back for a worker stands in its way to others all the same.
            room.use(expected_us(session, spec[task]))
        if room is None or not is_given:
            placed.held.append(task)
            continue
        if weights.get(room.worker.number, 0) < weights.get(NONE, 0):
            _expect_inputs(state, session, task, room.worker)
        number = room.worker.number
        if number not in placed.given:
            placed.given[number] = array("I")
        placed.given[number].append(task)
    return placed


def _unrefused(state: ServerState, session: ServerSession, task: int, rooms: dict[int, Room]) -> dict[int, Room]:
    """Without the workers to which an input could not be brought, as long as there are others that could run it."""
    refusing = workers_refusing(session, task)
    resource_class = session.spec_class[session.tasks.spec[task]]
    others = [worker for worker in staying(state) if not worker.suspect and worker.number not in refusing]
    if not any(slots_of(state, worker, resource_class) for worker in others):
        return rooms
    return {number: room for number, room in rooms.items() if number not in refusing}


def _expect_inputs(state: ServerState, session: ServerSession, task: int, worker: Worker) -> None:
    """Notes at once what has to be moved, so that the next task is placed with that in view."""
    objects = session.objects
    for obj in session.tasks.inputs_of(task):
        if objects.size[obj] >= LARGE and objects.flags[obj] & AVAILABLE and not objects.is_held_by(obj, worker.number):
            expect(state, worker, session, obj)


def bytes_at(session: ServerSession, task: int) -> dict[int, int]:
    """Per worker, how many bytes of the task's inputs it holds; what travels with the message does not count.

    Under NONE: how many there are in all. Empty where no worker has to be asked for any.
    """
    objects = session.objects
    sizes, holders, flags, replicas = objects.size, objects.holder, objects.flags, objects.replicas
    weights: dict[int, int] = {}
    total = 0
    for obj in session.tasks.inputs_of(task):
        size, holder = sizes[obj], holders[obj]
        if holder == NONE or not size or (flags[obj] & STASHED and size <= MAX_INLINE_CONSTANT):
            continue
        total += size
        weights[holder] = weights.get(holder, 0) + size
        if obj in replicas:
            for other in replicas[obj]:
                weights[other] = weights.get(other, 0) + size
    if total:
        weights[NONE] = total
    return weights


def _best(
    state: ServerState, session: ServerSession, task: int, weights: dict[int, int], rooms: dict[int, Room]
) -> tuple[Room | None, bool]:
    """The worker with the least cost, and whether it is to be given the task now."""
    total = weights.get(NONE, 0)
    best: Room | None = None
    best_cost, best_missing = 0.0, 0
    us_per_byte = 1e6 / state.bandwidth
    inputs = session.tasks.inputs_of(task)
    sources = [(n, state.workers[n].outgoing_bytes) for n in weights if n != NONE] if len(weights) <= NSRC else []
    for room in _candidates(weights, rooms):
        worker = room.worker
        missing = total - weights.get(worker.number, 0)
        if missing and worker.incoming and len(inputs) <= MAX_LOOKED_UP:
            missing -= sum(worker.incoming.get((session.number, obj), NOTHING)[0] for obj in set(inputs))
        own_us = max(0, missing) * us_per_byte
        if not own_us:
            move_us = 0.0
        else:
            queued = worker.incoming_bytes
            for number, backlog in sources:
                if number != worker.number and backlog > queued:
                    queued = backlog
            move_us = own_us + queued * us_per_byte
        cost = max(room.wait_us, move_us) + ALPHA * own_us
        if best is None or (cost, missing, -room.idle) < (best_cost, best_missing, -best.idle):
            best, best_cost, best_missing = room, cost, missing
    is_given = best is not None and (best.idle > 0 or best.ahead > 0 or best.wait_us <= best_missing * us_per_byte)
    return best, is_given


def _candidates(weights: dict[int, int], rooms: dict[int, Room]) -> list[Room]:
    if len(rooms) <= MAX_HOLDERS + MAX_OTHERS:
        return list(rooms.values())
    holders = [number for number in weights if number in rooms]
    if len(holders) > MAX_HOLDERS:
        holders = nlargest(MAX_HOLDERS, holders, key=lambda number: weights[number])
    found = {number: rooms[number] for number in holders}
    for room in nsmallest(MAX_OTHERS, rooms.values(), key=lambda room: (room.wait_us, -room.idle)):
        found[room.worker.number] = room
    return list(found.values())
