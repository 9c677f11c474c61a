"""One scheduling round: ready tasks get workers.

Sessions take turns, each gets its share first and then what is left; within a session the highest priority comes
first. A task with inputs goes to the worker that holds most of their bytes, where that has room. The others are split
among the workers in runs of neighbours, in proportion to their idle slots first and to the room ahead after that.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from rain.core.ids import NONE
from rain.protocol.client import MAX_INLINE_CONSTANT
from rain.server.machine.compose import compose
from rain.server.machine.lookahead import follow, remember
from rain.server.machine.ready import ReadyQueue
from rain.server.machine.rooms import depth, idle_slots, slots_of, staying
from rain.server.machine.state import ServerSession, ServerState, Worker
from rain.server.machine.tables import STASHED


@dataclass(slots=True)
class _Room:
    """What a worker may be given of one queue."""

    worker: Worker
    n_slots: int
    idle: int
    ahead: int


def plan(state: ServerState) -> None:
    """Assigns what can be assigned, and orders the messages that say so."""
    if state.stopping:
        return
    workers = [worker for worker in staying(state) if not worker.suspect]
    if not workers:
        return
    batches: dict[tuple[int, int], array[int]] = {}
    waiting = {number: queues for number, session in state.sessions.items() if (queues := session.ready.queues())}
    if waiting:
        state.turn += 1
        numbers = list(waiting)
        turn = state.turn % len(numbers)
        numbers = numbers[turn:] + numbers[:turn]
        classes = {queue.resource_class for queues in waiting.values() for queue in queues}
        for share in (len(numbers), 1) if len(numbers) > 1 else (1,):
            for number in numbers:
                _place_session(state, state.sessions[number], workers, classes, share=share, batches=batches)
    for (worker_number, session_number), tasks in batches.items():
        remember(state.sessions[session_number], state.workers[worker_number], tasks)
    for worker in workers:
        if worker.frontier:
            follow(state, worker, batches)
    for (worker_number, session_number), tasks in batches.items():
        compose(state, state.workers[worker_number], state.sessions[session_number], tasks)


def _place_session(
    state: ServerState,
    session: ServerSession,
    workers: list[Worker],
    classes: set[int],
    *,
    share: int,
    batches: dict[tuple[int, int], array[int]],
) -> None:
    stage = session.tasks.stage
    more_important_left = False
    for queue in session.ready.queues():
        queue.drop_stale(stage)
        if not len(queue):
            continue
        capable = [worker for worker in workers if slots_of(state, worker, queue.resource_class)]
        rooms = _rooms(state, session, queue, capable, classes)
        if more_important_left:
            rooms = [_Room(room.worker, room.n_slots, room.idle, 0) for room in rooms if room.idle]
        total = sum(room.idle + room.ahead for room in rooms)
        if total:
            tasks = queue.take(-(-total // share), stage)
            _place(state, session, tasks, rooms, batches)
        more_important_left = more_important_left or bool(len(queue) and capable)


def _rooms(
    state: ServerState, session: ServerSession, queue: ReadyQueue, capable: list[Worker], classes: set[int]
) -> list[_Room]:
    head = queue.peek()
    if head is None:
        return []
    resource_class = queue.resource_class
    spec = session.tasks.spec[head]
    surplus = (len(queue) - 2 * len(capable)) // len(capable) if capable else 0
    rooms = []
    for worker in capable:
        n_slots = slots_of(state, worker, resource_class)
        idle = idle_slots(state, worker, resource_class, classes)
        ahead = max(0, min(depth(session, spec, worker, resource_class, n_slots), surplus))
        if idle < 0:
            ahead = max(0, ahead + idle)
            idle = 0
        if idle or ahead:
            rooms.append(_Room(worker, n_slots, idle, ahead))
    return rooms


def _place(
    state: ServerState,
    session: ServerSession,
    tasks: array[int],
    rooms: list[_Room],
    batches: dict[tuple[int, int], array[int]],
) -> None:
    rest = tasks
    if session.tasks.inputs:
        rest = _place_at_data(session, tasks, rooms, batches)
    if not rest:
        return
    counts = _split(state, len(rest), rooms)
    position = 0
    for room, count in zip(rooms, counts, strict=True):
        if count:
            give(session, room.worker, rest[position : position + count], batches)
            position += count


def give(session: ServerSession, worker: Worker, tasks: array[int], batches: dict[tuple[int, int], array[int]]) -> None:
    """Notes that these tasks, of one class and ASSIGNED already, go to the worker."""
    table = session.tasks
    column, first, n = table.worker, tasks[0], len(tasks)
    if tasks[-1] - first + 1 == n and tasks == array("I", range(first, first + n)):
        column[first : first + n] = array("I", (worker.number,)) * n
    else:
        for task in tasks:
            column[task] = worker.number
    resource_class = session.spec_class[table.spec[first]]
    worker.outstanding[resource_class] = worker.outstanding.get(resource_class, 0) + n
    key = (worker.number, session.number)
    batch = batches.get(key)
    if batch is None:
        batches[key] = tasks
    else:
        batch.extend(tasks)


def _place_at_data(
    session: ServerSession, tasks: array[int], rooms: list[_Room], batches: dict[tuple[int, int], array[int]]
) -> array[int]:
    """Gives tasks to the workers that hold their inputs, while those have room; returns the others."""
    by_worker = {room.worker.number: room for room in rooms}
    mine: dict[int, array[int]] = {}
    rest = array("I")
    input_start = session.tasks.input_start
    for task in tasks:
        if input_start[task] == input_start[task + 1]:
            rest.append(task)
            continue
        weights = _bytes_at(session, task)
        room = _best(weights, by_worker)
        if room is None:
            rest.append(task)
            continue
        if room.idle:
            room.idle -= 1
        else:
            room.ahead -= 1
        mine.setdefault(room.worker.number, array("I")).append(task)
    for number, its_tasks in mine.items():
        give(session, by_worker[number].worker, its_tasks, batches)
    return rest


def _bytes_at(session: ServerSession, task: int) -> dict[int, int]:
    """Per worker, how many bytes of the task's inputs it holds; what travels with the message does not count."""
    objects = session.objects
    weights: dict[int, int] = {}
    for obj in session.tasks.inputs_of(task):
        size = objects.size[obj]
        if objects.flags[obj] & STASHED and size <= MAX_INLINE_CONSTANT:
            size = 0
        holder = objects.holder[obj]
        if holder == NONE:
            continue
        weights[holder] = weights.get(holder, 0) + size
        for other in objects.replicas.get(obj, ()):
            weights[other] = weights.get(other, 0) + size
    return weights


def _best(weights: dict[int, int], rooms: dict[int, _Room]) -> _Room | None:
    best: _Room | None = None
    best_key = (0, 0, 0, 0)
    for number, weight in weights.items():
        room = rooms.get(number)
        if room is None or not (room.idle or room.ahead) or not weight:
            continue
        key = (weight, room.idle, room.ahead, -number)
        if best is None or key > best_key:
            best, best_key = room, key
    return best


def _split(state: ServerState, n: int, rooms: list[_Room]) -> list[int]:
    """How many of `n` tasks each worker gets: by idle slots as far as they reach, then by room ahead."""
    idle = [room.idle for room in rooms]
    ahead = [room.ahead for room in rooms]
    first = min(n, sum(idle))
    counts = _in_proportion(state, first, idle, rooms)
    if first < n:
        more = _in_proportion(state, n - first, ahead, rooms)
        counts = [count + extra for count, extra in zip(counts, more, strict=True)]
    return counts


def _in_proportion(state: ServerState, n: int, room_left: list[int], rooms: list[_Room]) -> list[int]:
    total = sum(room_left)
    if not total or not n:
        return [0] * len(rooms)
    counts = [n * room // total for room in room_left]
    left = n - sum(counts)
    order = sorted(
        (place for place in range(len(rooms)) if counts[place] < room_left[place]),
        key=lambda place: (
            -room_left[place] / rooms[place].n_slots,
            rooms[place].n_slots,
            hash((state.seed, state.turn, rooms[place].worker.number)),
        ),
    )
    while left:
        for place in order:
            if left and counts[place] < room_left[place]:
                counts[place] += 1
                left -= 1
    return counts
