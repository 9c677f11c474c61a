"""What clients ask to see, and what they are shown; part of the conversation in `protocol.client`."""

from __future__ import annotations

import msgspec

from rain.core.ids import NONE
from rain.protocol.columns import EMPTY, Column
from rain.protocol.shown import Impossible, ObjectInfo, SessionInfo, TaskInfo, WorkerInfo

# ---------------------------------------------------------------- client to server


class QueryTasks(msgspec.Struct, frozen=True, tag="query_tasks"):
    """Answered by `TaskNews`: the present state of these tasks (u32 each)."""

    request: int
    session: int
    tasks: Column
    #: Nothing but the states is wanted, as a column.
    states_only: bool = False
    #: With `states_only`: of all tasks, and `tasks` is empty.
    all_tasks: bool = False


class QueryObjects(msgspec.Struct, frozen=True, tag="query_objects"):
    """Answered by `ObjectNews`: the present state of these objects (u32 each)."""

    request: int
    session: int
    objects: Column


class QueryServer(msgspec.Struct, frozen=True, tag="query_server"):
    """Answered by `ServerInfo`."""

    request: int


class QueryWhy(msgspec.Struct, frozen=True, tag="query_why"):
    """Answered by `Why`, of any session; NONE for the task: of one that makes an object, or of all that are open."""

    request: int
    #: NONE: all sessions.
    session: int
    task: int
    #: Asks for the task that makes it; NONE: none is asked for.
    object: int = NONE


# ---------------------------------------------------------------- server to client


class TaskNews(msgspec.Struct, frozen=True, tag="task_news"):
    """In the order of the request: `tasks`, or `states` where only these were asked for."""

    request: int
    tasks: tuple[TaskInfo, ...] = ()
    #: u8 each: index into `TASK_STATE_NAMES`; what depends on a failed task has failed with it.
    states: Column = EMPTY


class ObjectNews(msgspec.Struct, frozen=True, tag="object_news"):
    """In the order of the request."""

    request: int
    objects: tuple[ObjectInfo, ...]


class ServerInfo(msgspec.Struct, frozen=True, tag="server_info"):
    request: int
    version: str
    workers: tuple[WorkerInfo, ...]
    sessions: tuple[SessionInfo, ...]
    #: Where the server itself runs.
    host: str = ""
    pid: int = 0
    impossible: tuple[Impossible, ...] = ()
    #: Its log file; empty where it writes none.
    log: str = ""


class Why(msgspec.Struct, frozen=True, tag="why"):
    """Why a task is not done, or how it ended: lines for a person."""

    request: int
    lines: tuple[str, ...]
