"""What a client's machine orders its shell to do. Effects are carried out in order."""

from __future__ import annotations

import msgspec

from rain.core.failure import Failure
from rain.protocol.attaching import GraphRead, TasksFound
from rain.protocol.client import (
    Ack,
    FromClient,
    Located,
    SessionAttached,
    SessionFailed,
    SessionOpened,
    WaitDone,
)
from rain.protocol.columns import EMPTY, Column
from rain.protocol.feed import FeedNews
from rain.protocol.queries import ObjectNews, ServerInfo, TaskNews, Why
from rain.protocol.shown import TaskInfo

Reply = (
    WaitDone
    | Located
    | SessionOpened
    | SessionAttached
    | GraphRead
    | TasksFound
    | Ack
    | TaskNews
    | ObjectNews
    | ServerInfo
    | Why
    | FeedNews
)


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request cannot be answered, as data; whoever asked makes an exception of it in the caller's stack."""

    reason: str
    #: The task that is to blame, where one is.
    task: int | None = None
    attempt: int = 0
    worker: int = 0
    failure: Failure | None = None
    #: What `task.info` shows of it, without the failure.
    info: TaskInfo | None = None
    #: The whole session has failed, not only this request.
    session_failed: bool = False
    #: Then u8 per task of it: index into `TASK_STATE_NAMES`.
    states: Column = EMPTY
    #: How many of them did not run because of the one that is to blame.
    not_run: int = 0
    #: The server is gone.
    server_gone: bool = False


def trouble_of(message: SessionFailed) -> Trouble:
    """What a session's failure means to its requests."""
    return Trouble(
        reason=message.reason,
        task=message.task,
        attempt=message.attempt,
        worker=message.worker,
        failure=message.failure,
        info=message.info,
        states=message.states,
        not_run=message.not_run,
        session_failed=True,
    )


class SendToServer(msgspec.Struct, frozen=True):
    """Send a message, after everything that was sent before."""

    message: FromClient


class Resolve(msgspec.Struct, frozen=True):
    """Wake whoever made this request; it has exactly one outcome."""

    request: int
    outcome: Reply | Trouble


class OpenWindow(msgspec.Struct, frozen=True):
    """The submit with this number may be sent now."""

    request: int


class MarkSessionFailed(msgspec.Struct, frozen=True):
    """Tell the session's handle, so that later calls raise without asking the server."""

    session: int
    trouble: Trouble


class MarkUnrunnable(msgspec.Struct, frozen=True):
    """Tell the session's handle that tasks need a worker that is not there, or, by an empty reason, that it is over."""

    session: int
    reason: str


ClientEffect = MarkUnrunnable | Resolve | SendToServer | OpenWindow | MarkSessionFailed
