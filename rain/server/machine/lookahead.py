"""Tasks that follow one another go to one worker before their inputs exist.

When a task is given to a worker, a task that reads its results, and whose other inputs exist or are being made at the
same worker, may be given to that worker too, as far as it is given work ahead at all. A chain then runs without
waiting for the server between its tasks.
"""

from __future__ import annotations

from array import array

from rain.core.ids import NONE
from rain.server.machine.rooms import depth, slots_of
from rain.server.machine.stages import ASSIGNED, WAITING
from rain.server.machine.state import ServerSession, ServerState, Worker
from rain.server.machine.tables import AVAILABLE
from rain.server.machine.transitions import outputs_of

#: Tasks with more inputs are not looked at: to check them again with each input costs the square of their number.
MAX_INPUTS = 32
#: Of one object so many readers are looked at, beyond those for which there is room.
MAX_READERS = 64


def remember(session: ServerSession, worker: Worker, tasks: array[int]) -> None:
    """Notes which of the tasks that were given to the worker have readers."""
    table, heads = session.tasks, session.objects.consumer_head
    if not table.inputs:
        return
    number, attempt = session.number, table.attempt
    for task in tasks:
        if any(heads[obj] != NONE for obj in outputs_of(session, task)):
            worker.frontier.append((number, task, attempt[task]))


def follow(state: ServerState, worker: Worker, batches: dict[tuple[int, int], array[int]]) -> None:
    """Gives the worker followers of the tasks that it has, as far as there is room ahead."""
    frontier = worker.frontier
    if len(frontier) > 2 * sum(worker.outstanding.values()) + MAX_READERS:
        _prune(state, worker)
    while frontier:
        number, task, _ = frontier[0]
        session = state.sessions.get(number)
        if session is None or not _is_there(session, worker, frontier[0]):
            frontier.popleft()
            continue
        resource_class = session.spec_class[session.tasks.spec[task]]
        n_slots = slots_of(state, worker, resource_class)
        ahead = depth(session, session.tasks.spec[task], worker, resource_class, n_slots)
        outstanding = worker.outstanding.get(resource_class, 0)
        room = ahead - max(0, outstanding - n_slots)
        if room <= 0:
            return
        followers = _followers(session, worker, task, room)
        if len(followers) < room:
            frontier.popleft()
        if not followers:
            continue
        worker.outstanding[resource_class] = outstanding + len(followers)
        batches.setdefault((worker.number, number), array("I")).extend(followers)
        remember(session, worker, followers)


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
    found = array("I")
    for obj in outputs_of(session, task):
        edge = heads[obj]
        patience = room + MAX_READERS
        while edge != NONE and patience and len(found) < room:
            reader = tasks.edge_task[edge]
            if _can_follow(session, worker, task, reader):
                tasks.stage[reader] = ASSIGNED
                tasks.worker[reader] = worker.number
                found.append(reader)
            edge = tasks.edge_next[edge]
            patience -= 1
    return found


def _can_follow(session: ServerSession, worker: Worker, task: int, reader: int) -> bool:
    tasks, objects = session.tasks, session.objects
    if tasks.stage[reader] != WAITING or tasks.input_start[reader + 1] - tasks.input_start[reader] > MAX_INPUTS:
        return False
    own, other = tasks.spec[task], tasks.spec[reader]
    if session.spec_class[own] != session.spec_class[other]:
        return False
    if session.specs[own].priority > session.specs[other].priority:
        return False
    for obj in tasks.inputs_of(reader):
        if objects.flags[obj] & AVAILABLE:
            continue
        maker = objects.producer[obj]
        if maker == NONE or tasks.stage[maker] != ASSIGNED or tasks.worker[maker] != worker.number:
            return False
    return True
