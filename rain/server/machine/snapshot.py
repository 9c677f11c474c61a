"""What the server tells about itself: to clients that ask, to `rain status`, to the HTTP pages."""

from __future__ import annotations

from array import array

from rain.core.failure import Cause
from rain.core.ids import NONE
from rain.core.note import TaskNote
from rain.protocol.client import ObjectNews, ServerInfo, TaskNews
from rain.protocol.shown import TASK_STATE_NAMES, Impossible, ObjectInfo, SessionInfo, TaskInfo, WorkerInfo
from rain.server.machine.attachments import note_of, notes_of
from rain.server.machine.rooms import slots_of, staying
from rain.server.machine.stages import ASSIGNED, CANCELLED, FAILED, FINISHED, READY, STAGE_NAMES, WAITING
from rain.server.machine.state import ServerSession, ServerState
from rain.server.machine.tables import AVAILABLE
from rain.server.machine.waiters import content_type_of, failure_of

_FAILED = TASK_STATE_NAMES.index("failed")
_CANCELLED = TASK_STATE_NAMES.index("cancelled")
#: Stages to states as numbers, by `bytes.translate`.
_STAGE_STATES = bytes(map(TASK_STATE_NAMES.index, STAGE_NAMES)).ljust(256)

#: Characters of its task's debug lines that are shown of an object.
MAX_OBJECT_DEBUG = 4 << 10

#: Lists of ids in `WorkerInfo` hold at most so many.
MAX_LISTED = 10_000


def impossible_tasks(state: ServerState) -> tuple[Impossible, ...]:
    """Per session and request: ready tasks that wait for a worker that is not there."""
    found = []
    for session in state.sessions.values():
        for queue in session.ready.queues():
            queue.drop_stale(session.tasks.stage)
            first = queue.peek()
            if first is None or any(slots_of(state, worker, queue.resource_class) for worker in staying(state)):
                continue
            needed = state.classes.requests[queue.resource_class]
            n_ready = sum(session.tasks.stage.count(READY, run.start, run.stop) for run in queue.runs())
            found.append(Impossible(session.number, first, n_ready, needed))
    return tuple(found)


def server_info(state: ServerState, request: int = 0) -> ServerInfo:
    """Workers and sessions as they are now."""
    tasks, objects = _at_workers(state)
    workers = tuple(
        WorkerInfo(
            worker=worker.number,
            host=worker.host,
            pid=worker.pid,
            address=f"{worker.peer.host}:{worker.peer.port}",
            offer=worker.offer,
            n_tasks=sum(worker.outstanding.values()),
            n_objects=worker.n_objects,
            tasks=tuple(tasks[worker.number]),
            objects=tuple(objects[worker.number]),
            suspect=worker.suspect,
            log=worker.log,
            draining=worker.drain is not None,
        )
        for worker in state.workers.values()
    )
    sessions = tuple(session_info(session) for session in state.sessions.values())
    return ServerInfo(
        request=request,
        version=state.version,
        workers=workers,
        sessions=sessions,
        host=state.host,
        pid=state.pid,
        impossible=impossible_tasks(state),
        log=state.log,
    )


def session_info(session: ServerSession) -> SessionInfo:
    """One session: its state, and how many tasks are in each."""
    return SessionInfo(
        session=session.number,
        name=session.name,
        state="open" if session.failed_reason is None else "failed",
        tasks=task_counts(session),
        n_objects=len(session.objects),
        impossible=session.unrunnable_reason,
    )


def task_counts(session: ServerSession) -> dict[str, int]:
    """How many tasks are in each state."""
    counts = dict.fromkeys(STAGE_NAMES, 0)
    for stage in (WAITING, READY, ASSIGNED, FINISHED, FAILED, CANCELLED):
        counts[STAGE_NAMES[stage]] += session.tasks.stage.count(stage)
    return counts


def _at_workers(state: ServerState) -> tuple[dict[int, list[tuple[int, int]]], dict[int, list[tuple[int, int]]]]:
    tasks: dict[int, list[tuple[int, int]]] = {number: [] for number in state.workers}
    objects: dict[int, list[tuple[int, int]]] = {number: [] for number in state.workers}
    for session in state.sessions.values():
        stage, at = session.tasks.stage, session.tasks.worker
        task = stage.find(ASSIGNED)
        while task >= 0:
            if len(tasks[at[task]]) < MAX_LISTED:
                tasks[at[task]].append((session.number, task))
            task = stage.find(ASSIGNED, task + 1)
        listed = 0
        for obj, holder in enumerate(session.objects.holder):
            if holder == NONE:
                continue
            for worker in session.objects.holders_of(obj):
                if len(objects[worker]) < MAX_LISTED:
                    objects[worker].append((session.number, obj))
                    listed += 1
            if listed >= MAX_LISTED * len(objects):
                break
    return tasks, objects


def task_news(state: ServerState, session: ServerSession, request: int, tasks: array[int]) -> TaskNews:
    """The present state of these tasks."""
    notes = notes_of(session, tasks)
    return TaskNews(
        request, tuple(_task_info(state, session, task, note) for task, note in zip(tasks, notes, strict=True))
    )


def task_states(session: ServerSession, request: int, tasks: array[int]) -> TaskNews:
    """The present states of these tasks and nothing else."""
    states = bytearray(map(session.tasks.stage.__getitem__, tasks)).translate(_STAGE_STATES)
    place = states.find(_CANCELLED)
    while place >= 0:
        if failure_of(session, tasks[place]).failure.cause is not Cause.CANCELLED:
            states[place] = _FAILED
        place = states.find(_CANCELLED, place + 1)
    return TaskNews(request, states=memoryview(states))


def _task_info(state: ServerState, session: ServerSession, task: int, note: TaskNote | None) -> TaskInfo:
    table = session.tasks
    stage = table.stage[task]
    # Nobody can tell how long a task ran whose process died.
    timed = stage == FINISHED or (stage == FAILED and table.duration_us[task] > 0)
    duration_us = table.duration_us[task] if timed else None
    start_time = None
    if timed:
        start_time = state.epoch_offset_s + table.ended_s[task] - table.duration_us[task] / 1e6
    return TaskInfo(
        state=STAGE_NAMES[stage],
        worker=None if table.worker[task] == NONE else table.worker[task],
        attempt=table.attempt[task],
        duration_us=duration_us,
        start_time=start_time,
        failure=failure_of(session, task).failure if stage > FINISHED else None,
        note=note,
    )


def object_news(session: ServerSession, request: int, objects: array[int]) -> ObjectNews:
    """The present state of these objects."""
    return ObjectNews(request, tuple(_object_info(session, obj) for obj in objects))


def _object_info(session: ServerSession, obj: int) -> ObjectInfo:
    objects, tasks = session.objects, session.tasks
    producer = objects.producer[obj]
    note = None if producer == NONE else note_of(session, producer)
    size, error = None, None
    if objects.flags[obj] & AVAILABLE:
        state, size = "finished", objects.size[obj]
    elif producer != NONE and tasks.stage[producer] != FINISHED:
        state = "unfinished"
        if tasks.stage[producer] > FINISHED:
            error = failure_of(session, producer).failure.message
    else:
        state = "removed"
    return ObjectInfo(
        state=state,
        size=size,
        content_type=content_type_of(session, obj),
        user=session.attached.object_infos.get(obj, b""),
        error=error,
        debug="" if note is None else note.debug[:MAX_OBJECT_DEBUG],
    )
