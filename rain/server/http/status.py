"""What `/api/status` says, made from the machine's own account of itself."""

from __future__ import annotations

from collections import Counter

import msgspec

from rain.core.ids import session_name, task_name, worker_name
from rain.core.resources import UNIT
from rain.protocol.queries import ServerInfo
from rain.protocol.shown import Impossible, SessionInfo, WorkerInfo


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One worker; resources in whole units."""

    worker: str
    host: str
    pid: int
    #: Its data endpoint.
    address: str
    cpus: float
    gpus: float
    memory_bytes: int
    resources: dict[str, float]
    #: Tasks given to it and not done, objects it holds or is making.
    tasks: int
    objects: int
    #: Silent for longer than it should be; it gets no new tasks.
    suspect: bool


class SessionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One session."""

    session: str
    name: str | None
    state: str
    #: How many tasks are in each state.
    tasks: dict[str, int]
    objects: int
    #: Which of its ready tasks no present worker can run, and why; empty while there are none.
    impossible: str
    #: Some of its running tasks that said how far they are.
    progress: list[ProgressStatus]


class ProgressStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a running task said last of its progress."""

    task: str
    #: From 0 to 1.
    fraction: float
    text: str


class ImpossibleStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Ready tasks, alike in what they need, that no present worker can run."""

    session: str
    #: The first of them, and how many they are.
    first_task: str
    tasks: int
    #: In whole units.
    cpus: float
    gpus: float
    memory_bytes: int
    resources: dict[str, float]


class ServerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer."""

    version: str
    pid: int
    #: The control endpoint.
    address: str
    uptime_s: float
    workers: list[WorkerStatus]
    sessions: list[SessionStatus]
    impossible: list[ImpossibleStatus]
    #: How many tasks of all sessions are in each state.
    tasks: dict[str, int]
    #: Bytes that the server itself holds.
    stash_memory_bytes: int
    stash_disk_bytes: int
    #: Mistakes of the server's own; the log has them.
    internal_faults: int


def count_tasks(sessions: tuple[SessionInfo, ...]) -> dict[str, int]:
    """Tasks of all sessions by state."""
    total: Counter[str] = Counter()
    for session in sessions:
        total.update(session.tasks)
    return dict(total)


def server_status(
    info: ServerInfo, *, pid: int, address: str, uptime_s: float, stash_bytes: tuple[int, int], faults: int
) -> ServerStatus:
    """The answer, from the machine's account and what only the shell knows."""
    return ServerStatus(
        version=info.version,
        pid=pid,
        address=address,
        uptime_s=round(uptime_s, 3),
        workers=[_worker(worker) for worker in info.workers],
        sessions=[_session(session) for session in info.sessions],
        impossible=[_impossible(each) for each in info.impossible],
        tasks=count_tasks(info.sessions),
        stash_memory_bytes=stash_bytes[0],
        stash_disk_bytes=stash_bytes[1],
        internal_faults=faults,
    )


def _worker(info: WorkerInfo) -> WorkerStatus:
    return WorkerStatus(
        worker=worker_name(info.worker),
        host=info.host,
        pid=info.pid,
        address=info.address,
        cpus=info.offer.cpus / UNIT,
        gpus=info.offer.gpus / UNIT,
        memory_bytes=info.offer.memory_bytes,
        resources={name: amount / UNIT for name, amount in info.offer.named},
        tasks=info.n_tasks,
        objects=info.n_objects,
        suspect=info.suspect,
    )


def _session(info: SessionInfo) -> SessionStatus:
    return SessionStatus(
        session=session_name(info.session),
        name=info.name,
        state=info.state,
        tasks=info.tasks,
        objects=info.n_objects,
        impossible=info.impossible,
        progress=[
            ProgressStatus(task=task_name(info.session, task), fraction=said.fraction, text=said.text)
            for task, said in info.progress
        ],
    )


def _impossible(found: Impossible) -> ImpossibleStatus:
    return ImpossibleStatus(
        session=session_name(found.session),
        first_task=task_name(found.session, found.task),
        tasks=found.n_tasks,
        cpus=found.needed.cpus / UNIT,
        gpus=found.needed.gpus / UNIT,
        memory_bytes=found.needed.memory_bytes,
        resources={name: amount / UNIT for name, amount in found.needed.named},
    )
