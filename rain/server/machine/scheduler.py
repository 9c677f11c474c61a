"""One scheduling round: ready tasks get workers.

Sessions take turns, each gets its share first and then what is left; within a session the highest priority comes
first. A task with inputs goes to the worker that holds most of their bytes, where that has room. The others are split
among the workers in runs of neighbours, in proportion to their idle slots first and to the room ahead after that.
"""

from __future__ import annotations

from array import array

from rain.server.machine.attention import looked, to_look_at
from rain.server.machine.compose import compose
from rain.server.machine.incoming import nothing_comes
from rain.server.machine.levels import bucket_of, expected_us
from rain.server.machine.lookahead import follow, remember
from rain.server.machine.placement import bytes_at, place_at_data
from rain.server.machine.ready import ReadyQueue
from rain.server.machine.retraction import retract
from rain.server.machine.rooms import (
    Room,
    depth,
    gap_slots,
    idle_slots,
    room_ahead,
    room_with_queue,
    slots_of,
    staying,
)
from rain.server.machine.sharing import split
from rain.server.machine.stages import READY
from rain.server.machine.state import ServerSession, ServerState, Worker
from rain.server.machine.stretches import is_stretch
from rain.server.machine.transitions import count_on

#: Tasks are more important than others when their level is this many buckets higher.
MIN_GAP_BUCKETS = 2
#: So many tasks are looked at, when no worker has room, for one whose inputs could move meanwhile.
LOOK_BEYOND = 32


def plan(state: ServerState) -> None:
    """Assigns what can be assigned, and orders the messages that say so."""
    if state.stopping:
        return
    workers = [worker for worker in staying(state) if not worker.suspect]
    if not workers:
        return
    for worker in workers:
        if worker.incoming and not worker.outstanding:
            nothing_comes(state, worker)
    batches: dict[tuple[int, int], array[int]] = {}
    waiting = {number: queues for number, session in state.sessions.items() if (queues := session.ready.queues())}
    if waiting:
        state.turn += 1
        looked_at = to_look_at(state, workers, waiting)
        is_saturated = True
        numbers = list(waiting)
        turn = state.turn % len(numbers)
        numbers = numbers[turn:] + numbers[:turn]
        classes = {queue.resource_class for queues in waiting.values() for queue in queues}
        for share in (len(numbers), 1) if len(numbers) > 1 else (1,):
            for number in numbers:
                is_saturated &= _place_session(
                    state, state.sessions[number], looked_at, classes, share=share, batches=batches
                )
        looked(state, looked_at, waiting, is_saturated=is_saturated)
    for (worker_number, session_number), tasks in batches.items():
        remember(state.sessions[session_number], state.workers[worker_number], tasks)
    for worker in workers:
        if worker.frontier:
            follow(state, worker, batches)
    for (worker_number, session_number), tasks in batches.items():
        compose(state, state.workers[worker_number], state.sessions[session_number], tasks)
    retract(state, workers)


def _place_session(
    state: ServerState,
    session: ServerSession,
    workers: list[Worker],
    classes: set[int],
    *,
    share: int,
    batches: dict[tuple[int, int], array[int]],
) -> bool:
    """Gives a session's tasks to workers; False where tasks were held back although there may be room for them."""
    more_important_left = False
    is_saturated = True
    larger: list[ReadyQueue] = []
    for queue in session.ready.queues():
        queue.drop_stale(session.tasks.stage)
        if not len(queue):
            continue
        capable = [worker for worker in workers if slots_of(state, worker, queue.resource_class)]
        rooms = _rooms(state, session, queue, capable, classes)
        if more_important_left:
            for room in rooms:
                room.ahead = 0
        for before in larger:
            if before.priority == queue.priority and before.bucket - queue.bucket >= MIN_GAP_BUCKETS and len(before):
                _keep_to_gaps(state, rooms, queue.resource_class, before.resource_class)
        is_saturated &= _place_queue(state, session, queue, rooms, share=share, batches=batches)
        if len(queue) and state.attention.n_capable[queue.resource_class]:
            more_important_left = True
            larger.append(queue)
    return is_saturated


def _keep_to_gaps(state: ServerState, rooms: list[Room], resource_class: int, larger: int) -> None:
    """Small tasks use what larger, more important ones leave free anyway; else those would wait for them for ever."""
    for room in rooms:
        n_larger = slots_of(state, room.worker, larger)
        if 0 < n_larger < room.n_slots:
            outstanding = room.worker.outstanding.get(resource_class, 0)
            gap = gap_slots(state, room.worker, resource_class, larger)
            room.idle = min(room.idle, max(0, gap - outstanding))


def _rooms(
    state: ServerState, session: ServerSession, queue: ReadyQueue, capable: list[Worker], classes: set[int]
) -> list[Room]:
    head = queue.peek()
    if head is None:
        return []
    resource_class = queue.resource_class
    spec = session.tasks.spec[head]
    n_capable = state.attention.n_capable[resource_class]
    surplus = (len(queue) - 2 * n_capable) // n_capable if n_capable else 0
    reads = _is_chosen_by_task(session)
    rooms = []
    for worker in capable:
        n_slots = slots_of(state, worker, resource_class)
        idle = idle_slots(state, worker, resource_class, classes)
        ahead = max(0, min(depth(session, spec, worker, resource_class, n_slots), surplus))
        if idle < 0:
            ahead = room_ahead(ahead, -idle)
            idle = 0
        if reads:
            rooms.append(room_with_queue(state, worker, n_slots, idle, ahead))
        elif idle or ahead:
            rooms.append(Room(worker, n_slots, idle, ahead))
    return rooms


def _place_queue(
    state: ServerState,
    session: ServerSession,
    queue: ReadyQueue,
    rooms: list[Room],
    *,
    share: int,
    batches: dict[tuple[int, int], array[int]],
) -> bool:
    """Gives the queue's tasks to the workers as far as there is room, and tasks ahead whose inputs have to move.

    False where some that read large data are held back.
    """
    stage = session.tasks.stage
    by_worker = {room.worker.number: room for room in rooms}
    reads = _is_chosen_by_task(session)
    held = array("I")
    while len(queue) and len(held) <= LOOK_BEYOND:
        total = sum(room.idle + max(0, room.ahead) for room in rooms)
        if not total and not (reads and share == 1 and _reads_large(session, queue, stage)):
            break
        tasks = queue.take(-(-total // share) if total else 8, stage)
        if not tasks:
            break
        if reads:
            placed = place_at_data(state, session, tasks, by_worker)
            for number, its_tasks in placed.given.items():
                give(session, by_worker[number].worker, its_tasks, batches, state.now)
            held += placed.held
            tasks = placed.anywhere
        if not total:
            held += tasks
        elif tasks:
            _place_anywhere(state, session, tasks, rooms, batches)
        if share > 1:
            break
    for task in reversed(held):
        stage[task] = READY
        queue.push_front(task, True, bucket_of(session.tasks.level[task]))
    return not held


def _is_chosen_by_task(session: ServerSession) -> bool:
    """Whether some of its tasks have reasons of their own for a worker, or against one."""
    return bool(session.tasks.inputs) or bool(session.refusals)


def _reads_large(session: ServerSession, queue: ReadyQueue, stage: bytearray) -> bool:
    queue.drop_stale(stage)
    head = queue.peek()
    return head is not None and bool(bytes_at(session, head))


def _place_anywhere(
    state: ServerState,
    session: ServerSession,
    tasks: array[int],
    rooms: list[Room],
    batches: dict[tuple[int, int], array[int]],
) -> None:
    request = state.classes.requests[session.spec_class[session.tasks.spec[tasks[0]]]]
    counts = split(state, len(tasks), rooms, request)
    position = 0
    for room, count in zip(rooms, counts, strict=True):
        if count:
            room.use_many(count, expected_us(session, session.tasks.spec[tasks[position]]))
            give(session, room.worker, tasks[position : position + count], batches, state.now)
            position += count


def give(
    session: ServerSession, worker: Worker, tasks: array[int], batches: dict[tuple[int, int], array[int]], now: float
) -> None:
    """Notes that these tasks, of one class and ASSIGNED already, go to the worker."""
    table = session.tasks
    column, first, n = table.worker, tasks[0], len(tasks)
    if is_stretch(tasks):
        column[first : first + n] = array("I", (worker.number,)) * n
    else:
        for task in tasks:
            column[task] = worker.number
    resource_class = session.spec_class[table.spec[first]]
    if not worker.outstanding:
        worker.progress_s = now
    count_on(worker, resource_class, n, n * expected_us(session, table.spec[first]))
    key = (worker.number, session.number)
    batch = batches.get(key)
    if batch is None:
        batches[key] = tasks
    else:
        batch.extend(tasks)
