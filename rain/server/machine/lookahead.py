"""Tasks that follow one another go to one worker before their inputs exist.

When a task is given to a worker, a task that reads its results, and whose other inputs exist or are being made at the
same worker, may be given to that worker too, as far as it is given work ahead at all. A chain then runs without
waiting for the server between its tasks.
"""

from __future__ import annotations

from array import array

from rain.core.ids import NONE
from rain.server.machine.levels import expected_us
from rain.server.machine.refusals import workers_refusing
from rain.server.machine.rooms import depth, slots_of
from rain.server.machine.stages import ASSIGNED, WAITING
from rain.server.machine.state import ServerSession, ServerState, Worker
from rain.server.machine.tables import AVAILABLE
from rain.server.machine.transitions import count_on

#: Tasks with more inputs are not looked at: to check them again with each input costs the square of their number.
MAX_INPUTS = 32
#: Of one object so many readers are looked at, beyond those for which there is room.
MAX_READERS = 64


def remember(session: ServerSession, worker: Worker, tasks: array[int]) -> None:
    """Notes which of the tasks that were given to the worker have readers."""
    table = session.tasks
    if not table.inputs:
        return
    number, attempt, spec, first_output = session.number, table.attempt, table.spec, table.first_output
    heads, outputs, frontier = session.objects.consumer_head, session.spec_outputs, worker.frontier
    for task in tasks:
        first = first_output[task]
        for obj in range(first, first + outputs[spec[task]]):
            if heads[obj] != NONE:
                frontier.append((number, task, attempt[task]))
                break


def follow(state: ServerState, worker: Worker, batches: dict[tuple[int, int], array[int]]) -> None:
    """Gives the worker followers of the tasks that it has, as far as there is room ahead."""
    frontier = worker.frontier
    if len(frontier) > 2 * sum(worker.outstanding.values()) + MAX_READERS:
        _prune(state, worker)
    has_room = True
    while frontier and has_room:
        session = state.sessions.get(frontier[0][0])
        if session is None:
            frontier.popleft()
        else:
            has_room = _follow_in(state, session, worker, batches)


def _follow_in(
    state: ServerState, session: ServerSession, worker: Worker, batches: dict[tuple[int, int], array[int]]
) -> bool:
    """The same for the tasks of one session at the head of the frontier; False where there is no room left."""
    frontier, outstanding, number = worker.frontier, worker.outstanding, session.number
    specs = session.tasks.spec
    #: Per spec: its class, the slots for it, and how many more there may be.
    rooms: dict[int, tuple[int, int, int]] = {}
    followers = array("I")
    has_room = True
    while frontier and frontier[0][0] == number:
        entry = frontier[0]
        task = entry[1]
        if not _is_there(session, worker, entry):
            frontier.popleft()
            continue
        spec = specs[task]
        if spec not in rooms:
            resource_class = session.spec_class[spec]
            n_slots = slots_of(state, worker, resource_class)
            rooms[spec] = (resource_class, n_slots, depth(session, spec, worker, resource_class, n_slots))
        resource_class, n_slots, ahead = rooms[spec]
        has = outstanding.get(resource_class, 0)
        room = ahead - max(0, has - n_slots)
        if room <= 0:
            has_room = False
            break
        found = _followers(session, worker, task, room)
        if len(found) < room:
            frontier.popleft()
        if found:
            count_on(worker, resource_class, len(found), expected_us(session, spec) * len(found))
            followers.extend(found)
            remember(session, worker, found)
    if followers:
        batches.setdefault((worker.number, number), array("I")).extend(followers)
    return has_room


def _prune(state: ServerState, worker: Worker) -> None:
    """Forgets tasks that ended, so that one long task at the head does not let the others pile up behind it."""
    entries = [
        entry
        for entry in worker.frontier
        if (session := state.sessions.get(entry[0])) is not None and _is_there(session, worker, entry)
    ]
    worker.frontier.clear()
    worker.frontier.extend(entries)


def _is_there(session: ServerSession, worker: Worker, entry: tuple[int, int, int]) -> bool:
    tasks, (_, task, attempt) = session.tasks, entry
    return tasks.stage[task] == ASSIGNED and tasks.worker[task] == worker.number and tasks.attempt[task] == attempt


def _followers(session: ServerSession, worker: Worker, task: int, room: int) -> array[int]:
    """At most `room` tasks that can follow; they are ASSIGNED to the worker."""
    tasks, heads = session.tasks, session.objects.consumer_head
    stage, edge_task, edge_next = tasks.stage, tasks.edge_task, tasks.edge_next
    found = array("I")
    first = tasks.first_output[task]
    for obj in range(first, first + session.spec_outputs[tasks.spec[task]]):
        edge = heads[obj]
        patience = room + MAX_READERS
        while edge != NONE and patience and len(found) < room:
            reader = edge_task[edge]
            if stage[reader] == WAITING and _can_follow(session, worker, task, reader):
                stage[reader] = ASSIGNED
                tasks.worker[reader] = worker.number
                found.append(reader)
            edge = edge_next[edge]
            patience -= 1
    return found


def _can_follow(session: ServerSession, worker: Worker, task: int, reader: int) -> bool:
    """Whether a WAITING reader of the task's outputs will find all its inputs at the worker, or can have them there."""
    tasks, objects = session.tasks, session.objects
    own, other = tasks.spec[task], tasks.spec[reader]
    if own != other and (
        session.spec_class[own] != session.spec_class[other]
        or session.specs[own].priority > session.specs[other].priority
    ):
        return False
    if reader in session.refusals and worker.number in workers_refusing(session, reader):
        return False
    start, stop = tasks.input_start[reader], tasks.input_start[reader + 1]
    if stop - start <= 1:
        return True
    if stop - start > MAX_INPUTS:
        return False
    flags, producer, stage, assigned_to = objects.flags, objects.producer, tasks.stage, tasks.worker
    for obj in tasks.inputs[start:stop]:
        if flags[obj] & AVAILABLE:
            continue
        maker = producer[obj]
        if maker == NONE or stage[maker] != ASSIGNED or assigned_to[maker] != worker.number:
            return False
    return True
