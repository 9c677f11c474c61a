"""What can happen to a client's connection: past facts, as the shell hands them to the machine."""

from __future__ import annotations

import msgspec

from rain.protocol.attaching import FindTasks, ReadGraph
from rain.protocol.client import (
    AttachSession,
    CancelTasks,
    CloseSession,
    DrainWorker,
    Leave,
    Locate,
    OpenSession,
    Shutdown,
    ToClient,
    Wait,
)
from rain.protocol.feed import WatchSession
from rain.protocol.queries import QueryObjects, QueryServer, QueryTasks, QueryWhy

Request = (
    Wait
    | Locate
    | QueryTasks
    | QueryObjects
    | CancelTasks
    | OpenSession
    | AttachSession
    | CloseSession
    | FindTasks
    | QueryServer
    | QueryWhy
    | DrainWorker
    | Shutdown
    | ReadGraph
    | WatchSession
    | Leave
)


class Requested(msgspec.Struct, frozen=True):
    """Somebody wants an answer; the request's number was never used before."""

    message: Request


class RequestGivenUp(msgspec.Struct, frozen=True):
    """Nobody waits for this answer any more (time out, interrupt, cancelled coroutine)."""

    request: int


class SubmitBegan(msgspec.Struct, frozen=True):
    """A submit wants to be sent; answered by `OpenWindow` with this number as soon as the server can take it."""

    request: int
    session: int
    n_tasks: int
    #: Of arguments and inline constants.
    n_bytes: int


class MessageHeard(msgspec.Struct, frozen=True):
    """A message of the server."""

    message: ToClient


class ServerWentAway(msgspec.Struct, frozen=True):
    """The connection is gone, for this reason; nothing is heard any more."""

    reason: str


ClientEvent = Requested | MessageHeard | SubmitBegan | RequestGivenUp | ServerWentAway
