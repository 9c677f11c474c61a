"""The conversation of client and server, after hello.

Requests carry a number that the answer repeats. Columns (`Column`) are raw little-endian numbers, see
`protocol.columns`; the type of each stands beside it.
"""

from __future__ import annotations

import msgspec

from rain.core.failure import Failure
from rain.core.spec import TaskSpec
from rain.protocol.attaching import FindTasks, GraphRead, ReadGraph, TasksFound
from rain.protocol.codec import MessageDecoder
from rain.protocol.columns import EMPTY, Column
from rain.protocol.feed import FeedNews, WatchSession
from rain.protocol.queries import (
    ObjectNews,
    QueryObjects,
    QueryServer,
    QueryTasks,
    QueryWhy,
    ServerInfo,
    TaskNews,
    Why,
)
from rain.protocol.shown import TaskInfo
from rain.protocol.transfer import Peer

#: A part of a submit carries at most this many tasks.
MAX_TASKS_PER_PART = 1 << 22
#: A part of a submit is cut before it grows over this many bytes of arguments and constants.
MAX_PART_BYTES = 16 << 20
#: Constants up to this size travel inside the submit; larger ones are uploaded before it, in chunks.
MAX_INLINE_CONSTANT = 64 << 10
#: Size of an upload's chunks.
UPLOAD_CHUNK_BYTES = 1 << 20

# ---------------------------------------------------------------- client to server


class OpenSession(msgspec.Struct, frozen=True, tag="open_session"):
    """Answered by `SessionOpened`."""

    request: int
    name: str | None = None
    fail_fast: bool = True
    ttl_s: float | None = None


class AttachSession(msgspec.Struct, frozen=True, tag="attach_session"):
    """Go on with a session whose client left, by its name or as "s3". Answered by `SessionAttached`."""

    request: int
    name: str


class CloseSession(msgspec.Struct, frozen=True, tag="close_session"):
    """Stops the session's running tasks and drops its objects. Answered by `Ack`; a session that is gone is fine."""

    request: int
    session: int


class Upload(msgspec.Struct, frozen=True, tag="upload"):
    """A chunk of a large constant; its bytes are the payload frame. Precedes the submit that names the object."""

    session: int
    object: int
    offset: int
    total: int


class Submit(msgspec.Struct, frozen=True, tag="submit", kw_only=True):
    """One part of a submit; the parts up to `last` are committed as one.

    Tasks are numbered `first_task …`, objects `first_object …`, both without gaps over all submits of a session.
    Every new object is either a constant or an output of a task of the same part.
    """

    session: int
    last: bool = True
    #: Specs that the server has not got; numbered on from `first_spec`, per session.
    first_spec: int
    specs: tuple[TaskSpec, ...] = ()

    first_task: int
    n_tasks: int
    #: u32 per task: number of its spec.
    spec: Column = EMPTY
    #: u32 per task: number of its first output; the others follow, as many as the spec has outputs.
    first_output: Column = EMPTY
    #: u32 per task: how many inputs; then u32 each: the objects. Repeats are allowed.
    n_inputs: Column = EMPTY
    inputs: Column = EMPTY
    #: u32 per task: length of its arguments; then the bytes of all.
    args_size: Column = EMPTY
    args: Column = EMPTY

    first_object: int
    n_objects: int
    #: u32 each, ascending: numbers of the new objects that are kept.
    kept: Column = EMPTY

    #: u32 each: objects that are constants: new ones, and ones of earlier submits that are sent again.
    constants: Column = EMPTY
    #: u64 each: their size in bytes.
    constant_size: Column = EMPTY
    #: u8 each: 1 when the bytes stand in `constant_data`, 0 when they were uploaded.
    constant_inline: Column = EMPTY
    constant_data: Column = EMPTY
    #: u16 each: index into `content_types`.
    constant_type: Column = EMPTY
    content_types: tuple[str | None, ...] = ()

    #: What users attached (JSON), where they did: (number of the task, `spec.user`), (number of the object, likewise).
    task_users: tuple[tuple[int, bytes], ...] = ()
    object_users: tuple[tuple[int, bytes], ...] = ()


class Unkeep(msgspec.Struct, frozen=True, tag="unkeep"):
    """The client no longer wants these objects (u32 each)."""

    session: int
    objects: Column


class Wait(msgspec.Struct, frozen=True, tag="wait"):
    """Answered by `WaitDone` when all of these tasks are done (or any of them, where `some`)."""

    request: int
    session: int
    #: u32 each; ignored where `all_tasks`.
    tasks: Column = EMPTY
    #: Wait for everything that was submitted so far.
    all_tasks: bool = False
    some: bool = False
    #: With `some`: the tasks that are not among the answer's can be waited for by a wait `after` this one.
    stays: bool = False
    #: Above 0: those of that wait, and `tasks` is empty.
    after: int = 0


class Unwait(msgspec.Struct, frozen=True, tag="unwait"):
    """The client stopped waiting (time out, interrupt); no answer follows for that request, and no wait after it."""

    request: int


class Locate(msgspec.Struct, frozen=True, tag="locate"):
    """Where are these objects? Answered by `Located` as soon as all of them are finished, or by `RequestFailed`."""

    request: int
    session: int
    #: u32 each; kept, or constants that are still held.
    objects: Column


class CancelTasks(msgspec.Struct, frozen=True, tag="cancel_tasks"):
    """Stops these tasks (u32 each) and everything that depends on them. Answered by `Ack`."""

    request: int
    session: int
    tasks: Column


class DrainWorker(msgspec.Struct, frozen=True, tag="drain_worker"):
    """Have a worker leave without loss. Answered by `Ack`: at once, or where `wait` when it has left."""

    request: int
    worker: int
    wait: bool


class Shutdown(msgspec.Struct, frozen=True, tag="shutdown"):
    """Ends the server and all its workers. Answered by `Ack`, then the connection ends."""

    request: int


class Leave(msgspec.Struct, frozen=True, tag="leave"):
    """The client goes: its sessions end, or wait for another one (`ttl_s`). Answered by `Ack` when that is done."""

    request: int


class ClientAlive(msgspec.Struct, frozen=True, tag="client_alive"):
    """Nothing to say, still here."""


# ---------------------------------------------------------------- server to client


class SessionOpened(msgspec.Struct, frozen=True, tag="session_opened"):
    request: int
    session: int


class SessionAttached(msgspec.Struct, frozen=True, tag="session_attached", kw_only=True):
    """The session belongs to this client now; what is in it is read by `ReadGraph`."""

    request: int
    session: int
    name: str | None
    fail_fast: bool
    #: Numbers of specs, tasks and objects go on from these.
    n_specs: int
    n_tasks: int
    n_objects: int
    #: How many tasks are done.
    done: int
    #: As it was told when it failed; None: it did not.
    failed: SessionFailed | None = None
    #: The reason of the last `Unrunnable`.
    impossible: str = ""
    ttl_s: float | None = None


class Ack(msgspec.Struct, frozen=True, tag="ack"):
    """Done what was asked for."""

    request: int


class RequestFailed(msgspec.Struct, frozen=True, tag="request_failed"):
    """The request cannot be carried out; where a task is the reason, which one (NONE otherwise) and its failure."""

    request: int
    reason: str
    task: int | None = None
    attempt: int = 0
    worker: int = 0
    failure: Failure | None = None
    #: What `task.info` shows of it, without the failure.
    info: TaskInfo | None = None


class WaitDone(msgspec.Struct, frozen=True, tag="wait_done"):
    """The wait is over. u32 each: tasks that finished (only where `some`; otherwise all asked for did)."""

    request: int
    finished: Column = EMPTY
    #: Small results of these tasks that are kept come along, as far as there are few: u32 each, and as if located.
    objects: Column = EMPTY
    located: Located | None = None


class SessionFailed(msgspec.Struct, frozen=True, tag="session_failed"):
    """The session failed: its first failed task, or None where a submit was refused. Every wait of it ends."""

    session: int
    reason: str
    task: int | None = None
    attempt: int = 0
    worker: int = 0
    failure: Failure | None = None
    #: What `task.info` shows of it, without the failure.
    info: TaskInfo | None = None
    #: u8 per task of the session: index into `TASK_STATE_NAMES`.
    states: Column = EMPTY
    #: How many tasks did not run because of it.
    not_run: int = 0


class Unrunnable(msgspec.Struct, frozen=True, tag="unrunnable"):
    """Ready tasks of a session need a worker that is not there; an empty reason: that is over."""

    session: int
    reason: str


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """How many tasks of a session are done (finished, failed or cancelled); opens the client's submit window."""

    session: int
    done: int
    unfinished: int


class Located(msgspec.Struct, frozen=True, tag="located"):
    """Where to fetch: per object of the request a holder, a size and, for small ones, the bytes themselves."""

    request: int
    #: u32 each: holder (0: the bytes stand in `data`, or are fetched from the server's data endpoint when they don't).
    holder: Column
    #: u64 each.
    size: Column
    #: u8 each: 1 when the bytes stand in `data`.
    inline: Column
    data: Column
    content_types: tuple[str | None, ...]
    peers: tuple[Peer, ...] = ()
    #: JSON of `info.user` of the objects that have one: (position in the request, JSON).
    users: tuple[tuple[int, bytes], ...] = ()


class ServerAlive(msgspec.Struct, frozen=True, tag="server_alive"):
    """Nothing to say, still here."""


FromClient = (
    Submit
    | Wait
    | Locate
    | Unkeep
    | Upload
    | OpenSession
    | AttachSession
    | CloseSession
    | FindTasks
    | Unwait
    | QueryTasks
    | QueryObjects
    | CancelTasks
    | QueryServer
    | QueryWhy
    | DrainWorker
    | Shutdown
    | ReadGraph
    | WatchSession
    | Leave
    | ClientAlive
)
ToClient = (
    WaitDone
    | Located
    | Progress
    | Unrunnable
    | SessionOpened
    | SessionAttached
    | TasksFound
    | GraphRead
    | Ack
    | RequestFailed
    | SessionFailed
    | TaskNews
    | ObjectNews
    | ServerInfo
    | Why
    | FeedNews
    | ServerAlive
)

from_client_decoder: MessageDecoder[FromClient] = MessageDecoder(FromClient)
to_client_decoder: MessageDecoder[ToClient] = MessageDecoder(ToClient)
