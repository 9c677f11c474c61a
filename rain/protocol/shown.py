"""What the server shows of tasks, objects, workers and sessions; parts of its answers in `protocol.client`."""

from __future__ import annotations

import msgspec

from rain.core.failure import Failure
from rain.core.note import TaskNote, TaskProgress
from rain.core.resources import Offer, Request

#: The states of tasks as clients see them.
TASK_STATE_NAMES = ("waiting", "running", "finished", "failed", "cancelled")


class AttemptInfo(msgspec.Struct, frozen=True, array_like=True):
    """An attempt after which there was another one."""

    attempt: int
    worker: int
    #: Why it failed; None: it did not, its results were lost.
    error: str | None
    duration_us: int
    note: TaskNote | None = None


class TaskInfo(msgspec.Struct, frozen=True, array_like=True):
    """What `task.info` shows."""

    state: str
    worker: int | None
    attempt: int
    duration_us: int | None
    start_time: float | None
    failure: Failure | None
    #: Of the present attempt.
    note: TaskNote | None = None
    #: The attempts before it, as far as they are remembered.
    attempts: tuple[AttemptInfo, ...] = ()


class ObjectInfo(msgspec.Struct, frozen=True, array_like=True):
    """What `obj.info` shows."""

    state: str
    size: int | None
    content_type: str | None
    #: JSON of `info.user`; empty where there is none.
    user: bytes = b""
    #: Why it was never made, where its task failed or was cancelled.
    error: str | None = None
    #: Debug lines of the task that made it, or the beginning of them.
    debug: str = ""


class WorkerInfo(msgspec.Struct, frozen=True):
    """One worker as `get_server_info`, `rain status` and `/api/status` show it; lists hold at most 10,000 ids."""

    worker: int
    host: str
    pid: int
    address: str
    offer: Offer
    n_tasks: int
    n_objects: int
    tasks: tuple[tuple[int, int], ...] = ()
    objects: tuple[tuple[int, int], ...] = ()
    suspect: bool = False
    #: Its log file, on its host; empty where it writes none.
    log: str = ""
    #: It is to leave: it gets no new tasks.
    draining: bool = False


class SessionInfo(msgspec.Struct, frozen=True):
    """One session in the same places: tasks by state."""

    session: int
    name: str | None
    state: str
    tasks: dict[str, int]
    n_objects: int
    #: Which of its ready tasks no present worker can run, and why; empty while there are none.
    impossible: str = ""
    #: Some of its running tasks that said how far they are.
    progress: tuple[tuple[int, TaskProgress], ...] = ()
    #: For so many seconds it outlives its client.
    ttl_s: float | None = None


class Impossible(msgspec.Struct, frozen=True):
    """Ready tasks of a session, alike in what they need, that no present worker could ever run."""

    session: int
    #: The first of them.
    task: int
    n_tasks: int
    needed: Request
