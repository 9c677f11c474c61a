"""The conversation of server and worker, after hello. Batches as columns; a batch belongs to one session."""

from __future__ import annotations

import msgspec

from rain.core.failure import Failure
from rain.core.note import TaskNote, TaskProgress
from rain.core.spec import TaskSpec
from rain.protocol.codec import MessageDecoder
from rain.protocol.columns import EMPTY, Column
from rain.protocol.transfer import Peer

#: Results up to this size travel inside the report and are held by the server, too.
MAX_INLINE_RESULT = 4 << 10

# ---------------------------------------------------------------- server to worker


class NumberedSpec(msgspec.Struct, frozen=True, array_like=True):
    """A spec with its number in the session; sent once to every worker that gets a task of it."""

    number: int
    spec: TaskSpec


class Compute(msgspec.Struct, frozen=True, tag="compute", kw_only=True):
    """Run these tasks, in this order where resources allow; without any, only fetch the sources.

    An input is already at the worker, or being made there by a task given earlier (or earlier in this batch), or it is
    named among the sources with where to get it. An input that is named is fetched even if it is also being made there.
    What comes inline is held by the worker from then on, without a report; what it fetches it reports by `Fetched`.

    A task that waits for an earlier one of the same worker waits until that one is done, however it ends: the worker
    gives up nothing by itself. Where the earlier one fails, is given back or is cancelled, the server names those that
    waited for it in a `Cancel` (and plans them anew, with a higher attempt). An input that is neither there, nor being
    made there, nor named is reported as `Unavailable` from the worker's own number.
    """

    session: int
    specs: tuple[NumberedSpec, ...] = ()
    #: u32 per task.
    task: Column
    spec: Column
    attempt: Column
    first_output: Column
    n_inputs: Column
    #: u32 each: objects.
    inputs: Column = EMPTY
    #: u32 per task, then the bytes of all.
    args_size: Column = EMPTY
    args: Column = EMPTY
    #: Sources, u32 each: objects that the worker has not got, and a holder of each (0: the server).
    source: Column = EMPTY
    source_holder: Column = EMPTY
    #: u64 each: size in bytes.
    source_size: Column = EMPTY
    #: u8 each: 1 when the bytes stand in `source_data`.
    source_inline: Column = EMPTY
    source_data: Column = EMPTY
    source_types: tuple[str | None, ...] = ()
    #: Data endpoints of holders that this worker was not told before.
    peers: tuple[Peer, ...] = ()
    #: What users attached (JSON), where they did: (position of the task, its `spec.user`), and
    #: (input, its `spec.user`, its `info.user` as far as it is known); either may be empty.
    task_users: tuple[tuple[int, bytes], ...] = ()
    object_users: tuple[tuple[int, bytes, bytes], ...] = ()


class Drop(msgspec.Struct, frozen=True, tag="drop"):
    """Nobody needs these objects any more (u32 each); unknown ones are fine."""

    session: int
    objects: Column


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Stop these attempts (u32 each); queued ones are forgotten, running ones killed with all their processes.

    No report follows for them. Attempts that are not there are fine.
    """

    session: int
    task: Column
    attempt: Column


class Retract(msgspec.Struct, frozen=True, tag="retract"):
    """Give up at most so many tasks of the session that ask for the same as those of a spec, the last given first.

    Only tasks that are ready and not begun, and for whose outputs nothing here waits; no executor is disturbed.
    Answered by one `Retracted`, also where there are none.
    """

    session: int
    spec: int
    n_tasks: int


class EndSession(msgspec.Struct, frozen=True, tag="end_session"):
    """Stop all tasks of the session, drop all its objects and specs."""

    session: int


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """End the worker and all its processes, now."""


class ServerPing(msgspec.Struct, frozen=True, tag="ping"):
    """Answered by `WorkerPong`; any other message counts as well."""


# ---------------------------------------------------------------- worker to server


class Done(msgspec.Struct, frozen=True, tag="done", kw_only=True):
    """Attempts that succeeded, in the order in which they ended."""

    session: int
    #: u32 per task.
    task: Column
    attempt: Column
    #: u32 per task: microseconds of the task's own work.
    duration_us: Column
    #: u64 per output, in the order of tasks and of each task's outputs.
    size: Column
    #: u8 per output: 1 when the bytes stand in `data`. Such an object is held by the server and by the worker.
    inline: Column
    data: Column = EMPTY
    #: Content types that tasks set: (position of the first among the outputs of this message, of how many, type).
    content_types: tuple[tuple[int, int, str], ...] = ()
    #: Notes of the tasks that left any: (position among the tasks of this message, note).
    notes: tuple[tuple[int, TaskNote], ...] = ()
    #: JSON of `info.user` of outputs that have one: (position among the outputs of this message, JSON).
    object_users: tuple[tuple[int, bytes], ...] = ()


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """An attempt that failed."""

    session: int
    task: int
    attempt: int
    failure: Failure
    note: TaskNote | None = None
    #: Microseconds of the task's own work; 0 where nobody could tell, since its process died.
    duration_us: int = 0


class TasksProgressed(msgspec.Struct, frozen=True, tag="tasks_progressed"):
    """How far running attempts are; the last word of each stands in the note of its end. Often none at all."""

    session: int
    #: u32 each.
    task: Column
    attempt: Column
    progress: tuple[TaskProgress, ...]


class Unavailable(msgspec.Struct, frozen=True, tag="unavailable"):
    """These inputs could not be had from the holder that was named; the tasks that need them are given back.

    Tasks that wait for outputs of those stay: the server cancels them, see `Compute`.

    The worker has forgotten those tasks: the server plans them anew, with attempts of the same number.
    """

    session: int
    #: u32 each.
    objects: Column
    holder: Column
    #: u32 each: tasks given back.
    task: Column
    attempt: Column
    #: Why the worker could not write the objects, though their holder has them; empty: that did not give them.
    unwritten: str = ""


class Retracted(msgspec.Struct, frozen=True, tag="retracted"):
    """The answer to `Retract`: the worker has forgotten these attempts (u32 each) and will not begin them."""

    session: int
    task: Column
    attempt: Column


class Fetched(msgspec.Struct, frozen=True, tag="fetched"):
    """The worker now also holds these objects (u32 each); a `Drop` of those not needed answers.

    It fetched them, or had them already when they were named to be fetched.
    """

    session: int
    objects: Column


class WorkerPong(msgspec.Struct, frozen=True, tag="pong"):
    """Still here."""


FromServer = Compute | Drop | Cancel | Retract | EndSession | ServerPing | Stop
FromWorker = Done | Fetched | Failed | Unavailable | Retracted | WorkerPong | TasksProgressed

from_server_decoder: MessageDecoder[FromServer] = MessageDecoder(FromServer)
from_worker_decoder: MessageDecoder[FromWorker] = MessageDecoder(FromWorker)
