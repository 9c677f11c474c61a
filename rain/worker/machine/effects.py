"""What the worker's machine orders its shell to do. Effects are carried out in order."""

from __future__ import annotations

from array import array

import msgspec

from rain.core.spec import TaskSpec
from rain.protocol.columns import EMPTY, Column
from rain.protocol.transfer import Peer
from rain.protocol.worker import Done, FromWorker


class QueuedRun(msgspec.Struct, frozen=True, array_like=True):
    """Neighbouring tasks, often one, as an executor must know of them.

    Their inputs are in the store, except for those that earlier tasks of the batch make.
    """

    #: The first one; tasks and outputs of the others are numbered on.
    task: int
    attempt: int
    spec: int
    first_output: int
    #: Opaque, of all of them; a slice of the message that brought them.
    args: Column
    #: Objects, repeats possible, in the order in which the task reads them; none where there is more than one task.
    inputs: tuple[int, ...]
    #: JSON of its `spec.user`; empty where there is none, and where there is more than one task.
    user: bytes = b""
    count: int = 1
    #: u32 per task, where there is more than one.
    args_size: Column = EMPTY
    #: Of each task.
    n_outputs: int = 1
    #: Those of the inputs that earlier tasks of the batch make.
    inner: tuple[int, ...] = ()


class RunBatch(msgspec.Struct, frozen=True):
    """Have an executor run these tasks one after the other; `new_specs` are the ones it has not got."""

    executor: int
    session: int
    new_specs: tuple[tuple[int, TaskSpec], ...]
    runs: tuple[QueuedRun, ...]
    #: Those of each task while it runs; None where the worker offers none.
    gpus: tuple[int, ...] | None = None


class StartExecutor(msgspec.Struct, frozen=True):
    """Make an executor process with this number (never used before). Answered by `ExecutorReady` or `ExecutorEnded`."""

    executor: int


class KillExecutor(msgspec.Struct, frozen=True):
    """Kill an executor and everything it started. Answered by `ExecutorEnded`."""

    executor: int


class Fetch(msgspec.Struct, frozen=True):
    """Get objects from a holder (0: the server). Every one is answered once, by arrival or as unavailable."""

    session: int
    holder: int
    objects: array[int]
    #: Bytes each.
    sizes: array[int]


class LearnPeers(msgspec.Struct, frozen=True):
    """Data endpoints of holders that `Fetch` will name."""

    peers: tuple[Peer, ...]


class ReportDone(msgspec.Struct, frozen=True):
    """Send `done`, completed by the store: `data` is filled in for every output whose `inline` is 1.

    The shell may join several and may hold them back for a millisecond while the worker is busy.
    """

    done: Done
    #: The outputs, in the order of `done.size`.
    objects: array[int]
    #: The worker has nothing else to do: send at once.
    urgent: bool


class Tell(msgspec.Struct, frozen=True):
    """Send a message to the server, after the reports ordered before it."""

    message: FromWorker


class Discard(msgspec.Struct, frozen=True):
    """Remove these objects from the store; some may not be there, or their session may be closed."""

    session: int
    objects: array[int]


class CloseSessionStore(msgspec.Struct, frozen=True):
    """Remove everything of this session from the store, and have executors forget it; fetches of it are given up."""

    session: int
    #: Executors that have specs of it.
    executors: tuple[int, ...]


class Complain(msgspec.Struct, frozen=True):
    """Tell the person who runs the worker (log, standard error) what is wrong with this machine."""

    text: str


class Exit(msgspec.Struct, frozen=True):
    """End the worker: kill executors, remove the folders, leave."""


Effect = (
    RunBatch
    | ReportDone
    | Fetch
    | Tell
    | Discard
    | StartExecutor
    | KillExecutor
    | LearnPeers
    | CloseSessionStore
    | Complain
    | Exit
)
