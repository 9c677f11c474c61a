"""An exception as data: how a failed task is described on the wire and inside the state machines."""

from __future__ import annotations

import enum

import msgspec


class Cause(enum.StrEnum):
    """Whose fault a failure is; decides whether another attempt makes sense."""

    #: The task's own code or program failed: another attempt would fail the same way unless `retries` says otherwise.
    TASK = "task"
    #: The process that ran the task died (signal, `os._exit`).
    EXECUTOR = "executor"
    #: An input could not be had from anybody; the server finds it elsewhere or computes it again.
    INPUT = "input"
    #: The worker's own disk had no room for what the task made; another worker's may have.
    ROOM = "room"
    #: Somebody cancelled it, or its session failed or closed.
    CANCELLED = "cancelled"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt failed, in words for a person and, where possible, as the original exception."""

    cause: Cause
    #: One line or a few, complete by itself: "ZeroDivisionError: division by zero".
    message: str
    #: Name of the exception's type, "" where there was none.
    exception_type: str = ""
    #: The user's own frames, formatted as Python does, without Rain's.
    traceback: str = ""
    #: cloudpickle of the exception (with tblib's traceback); opaque to everybody but the client of that session.
    pickled: bytes | None = None
    #: The end of the program's or task's standard error.
    stderr: str = ""
    #: Lines of `ctx.debug`, joined by newlines.
    debug: str = ""
