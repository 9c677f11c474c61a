"""What the server tells about itself: to clients that ask, to `rain status`, to the HTTP pages."""

from __future__ import annotations

from array import array

from rain.core.ids import NONE
from rain.protocol.queries import ObjectNews, ServerInfo, TaskNews
from rain.protocol.shown import Impossible, ObjectInfo, SessionInfo, WorkerInfo
from rain.server.machine.at_workers import at_workers
from rain.server.machine.attachments import note_of, notes_of
from rain.server.machine.attempts import listed_progress
from rain.server.machine.rooms import slots_of, staying
from rain.server.machine.stages import ASSIGNED, CANCELLED, FAILED, FINISHED, READY, STAGE_NAMES, WAITING
from rain.server.machine.state import ServerSession, ServerState
from rain.server.machine.tables import AVAILABLE
from rain.server.machine.task_info import failure_of, task_info
from rain.server.machine.waiters import content_type_of

#: Characters of its task's debug lines that are shown of an object.
MAX_OBJECT_DEBUG = 4 << 10


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
    at = at_workers(state)
    workers = tuple(
        WorkerInfo(
            worker=worker.number,
            host=worker.host,
            pid=worker.pid,
            address=f"{worker.peer.host}:{worker.peer.port}",
            offer=worker.offer,
            n_tasks=sum(worker.outstanding.values()),
            n_objects=worker.n_objects + at[worker.number].n_coming,
            tasks=tuple(at[worker.number].tasks),
            objects=tuple(at[worker.number].objects),
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
        progress=tuple(listed_progress(session)),
        ttl_s=session.ttl_s,
    )


def task_counts(session: ServerSession) -> dict[str, int]:
    """How many tasks are in each state."""
    counts = dict.fromkeys(STAGE_NAMES, 0)
    for stage in (WAITING, READY, ASSIGNED, FINISHED, FAILED, CANCELLED):
        counts[STAGE_NAMES[stage]] += session.tasks.stage.count(stage)
    return counts


def task_news(state: ServerState, session: ServerSession, request: int, tasks: array[int]) -> TaskNews:
    """The present state of these tasks."""
    noted = zip(tasks, notes_of(session, tasks), strict=True)
    return TaskNews(request, tuple(task_info(state, session, task, note) for task, note in noted))


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
