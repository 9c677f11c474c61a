"""What the server's machine orders its shell to do. Effects are carried out in order."""

from __future__ import annotations

from array import array

import msgspec

from rain.protocol.client import Located, ToClient, WaitDone
from rain.protocol.columns import Column
from rain.protocol.worker import Compute, FromServer


class TellClient(msgspec.Struct, frozen=True):
    """Send a message; a client that is gone meanwhile is no error."""

    client: int
    message: ToClient


class TellWorker(msgspec.Struct, frozen=True):
    """Send a message; a worker that is gone meanwhile is no error (`WorkerLeft` follows)."""

    worker: int
    message: FromServer


class SendCompute(msgspec.Struct, frozen=True):
    """Send `compute`, completed by the stash.

    `args_size` and `args` are filled in for its tasks in order; so is `source_data` (with the sizes that stand in
    `source_size`) for every source whose `source_inline` is 1.
    """

    worker: int
    compute: Compute


class SendLocated(msgspec.Struct, frozen=True):
    """Send `located`, completed by the stash: `data` is filled in for every object whose `inline` is 1."""

    client: int
    session: int
    #: u32 each: the objects of the request, in its order.
    objects: Column
    located: Located


class SendWaitDone(msgspec.Struct, frozen=True):
    """Send `done`, whose `located` is completed by the stash as in `SendLocated`."""

    client: int
    session: int
    done: WaitDone


class StashResults(msgspec.Struct, frozen=True):
    """Keep these small results: object `objects[i]` is `data[start[i]:start[i] + size[i]]`."""

    session: int
    objects: array[int]
    start: array[int]
    size: array[int]
    data: Column


class StashStretch(msgspec.Struct, frozen=True):
    """Keep these small results of neighbouring objects, from `first` on: their bytes stand in `data` one by one."""

    session: int
    first: int
    size: array[int]
    data: Column


class DropStashed(msgspec.Struct, frozen=True):
    """The stash's bytes of these objects are not needed any more."""

    session: int
    objects: array[int]


class ForgetTasks(msgspec.Struct, frozen=True):
    """These tasks will never run again: their arguments are not needed any more."""

    session: int
    tasks: array[int]


class CloseStash(msgspec.Struct, frozen=True):
    """Everything of this session in the stash is not needed any more."""

    session: int


class DropClient(msgspec.Struct, frozen=True):
    """The client broke the protocol, or was silent too long: listen to it no more."""

    client: int
    reason: str


class DropWorker(msgspec.Struct, frozen=True):
    """The worker broke the protocol, or was silent too long: listen to it no more. No `WorkerLeft` follows."""

    worker: int
    reason: str


class Terminate(msgspec.Struct, frozen=True):
    """End the server, after what was said before has been sent."""


Effect = (
    SendCompute
    | TellClient
    | TellWorker
    | SendLocated
    | SendWaitDone
    | StashResults
    | StashStretch
    | DropStashed
    | ForgetTasks
    | CloseStash
    | DropClient
    | DropWorker
    | Terminate
)
