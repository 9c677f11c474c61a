"""The conversation of a worker with its executors, and with the forkserver that makes them, over socket pairs.

An executor runs the tasks of a batch one after the other. A batch holds resources for one task at a time, so all its
tasks have the same request.
"""

from __future__ import annotations

import msgspec

from rain.core.failure import Failure
from rain.core.note import TaskNote, TaskProgress
from rain.core.spec import TaskSpec
from rain.protocol.codec import MessageDecoder
from rain.protocol.columns import EMPTY, Column

#: Results up to this size come back through the pipe; an executor writes larger ones into the store itself.
MAX_PIPE_RESULT = 64 << 10

# ---------------------------------------------------------------- worker to executor


class RunInput(msgspec.Struct, frozen=True, array_like=True):
    """An input: its bytes where it is small, else the store's file, to be mapped or linked, never written.

    Neither bytes nor a file: an earlier task of the batch makes it, and what else is said of it here is empty.
    """

    object: int
    size: int
    content_type: str | None
    data: bytes | None
    path: str | None
    #: JSON of the object's `info.user` and `spec.user`; empty where there is none.
    user: bytes = b""
    spec_user: bytes = b""


class RunTask(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """One attempt."""

    task: int
    attempt: int
    spec: int
    first_output: int
    args: bytes
    inputs: tuple[RunInput, ...]
    #: JSON of `spec.user`; empty where there is none.
    user: bytes = b""
    #: Which of the worker's gpus are the task's while it runs; None: the worker offers none at all.
    gpus: tuple[int, ...] | None = None


class RunRange(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Attempts of neighbouring tasks that read no inputs: tasks and outputs are numbered on from the first."""

    task: int
    count: int
    attempt: int
    spec: int
    first_output: int
    #: u32 per task, and the bytes of all.
    args_size: Column
    args: bytes
    gpus: tuple[int, ...] | None = None

    def single(self, position: int, args: bytes, n_outputs: int) -> RunTask:
        """The attempt at this position; `args` are its own."""
        first_output = self.first_output + position * n_outputs
        return RunTask(self.task + position, self.attempt, self.spec, first_output, args, (), gpus=self.gpus)


class RunSpec(msgspec.Struct, frozen=True, array_like=True):
    """A spec that this executor has not got."""

    session: int
    number: int
    spec: TaskSpec


class Run(msgspec.Struct, frozen=True, tag="run"):
    """Run these tasks of one session in order; every one is answered once, by an entry or in a range of a `Report`."""

    session: int
    specs: tuple[RunSpec, ...]
    tasks: tuple[RunTask | RunRange, ...]
    #: Objects that tasks of the batch make, and later ones of it read.
    inner: tuple[int, ...] = ()
    #: The next message goes on with this batch.
    goes_on: bool = False


class ForgetSession(msgspec.Struct, frozen=True, tag="forget_session"):
    """Specs and cached functions of this session are not needed any more."""

    session: int


# ---------------------------------------------------------------- executor to worker


class Produced(msgspec.Struct, frozen=True, array_like=True):
    """One output: bytes, or (both None) a file that the executor moved to the object's path in the store."""

    size: int
    content_type: str | None = None
    data: bytes | None = None
    #: The output is this input (by position), passed on without a copy.
    same_as_input: int | None = None
    #: JSON of the `info.user` that the task gave it; empty where there is none.
    user: bytes = b""


class TaskDone(msgspec.Struct, frozen=True, array_like=True):
    """An attempt that succeeded; outputs in the order of the spec."""

    task: int
    attempt: int
    duration_us: int
    outputs: tuple[Produced, ...]
    note: TaskNote | None = None


class RangeDone(msgspec.Struct, frozen=True, array_like=True):
    """Attempts of neighbouring tasks of one `RunRange` that succeeded, with small results and nothing to be read."""

    task: int
    count: int
    attempt: int
    #: u32 per task: microseconds.
    duration_us: Column
    #: u64 per output, in the order of tasks and of each task's outputs, and their bytes.
    size: Column
    data: Column = EMPTY
    #: Of every output.
    content_type: str | None = None


class TaskFailed(msgspec.Struct, frozen=True, array_like=True):
    """An attempt that failed; none of its outputs is left in the store."""

    task: int
    attempt: int
    duration_us: int
    failure: Failure
    note: TaskNote | None = None


class TaskSkipped(msgspec.Struct, frozen=True, array_like=True):
    """An attempt that was not made, since an earlier task of its batch left no result that it could read there."""

    task: int
    attempt: int


class Report(msgspec.Struct, frozen=True, tag="report"):
    """What ended since the last report, each kind in order."""

    session: int
    done: tuple[TaskDone, ...]
    failed: tuple[TaskFailed, ...] = ()
    ranges: tuple[RangeDone, ...] = ()
    skipped: tuple[TaskSkipped, ...] = ()


class Progressed(msgspec.Struct, frozen=True, tag="progressed"):
    """How far a task is that runs, or that ended just now; the last word of all stands in the note of its report."""

    session: int
    task: int
    attempt: int
    progress: TaskProgress


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The executor's loop runs; sent once."""

    pid: int


# ---------------------------------------------------------------- worker to forkserver


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """Make an executor that talks over the socket that comes with this message; a `ForkCounts` follows at once.

    Answered by `Forked`; the executor itself sends `Ready`.
    """

    executor: int


class ForkCounts(msgspec.Struct, frozen=True, tag="fork_counts"):
    """Completes the `Fork` before it: the memory file of two u64 counts (begun, ended) comes with this message."""

    executor: int


class Kill(msgspec.Struct, frozen=True, tag="kill"):
    """Kill this executor and every process that it started. Answered by `Exited`."""

    executor: int


# ---------------------------------------------------------------- forkserver to worker


class Forked(msgspec.Struct, frozen=True, tag="forked"):
    executor: int
    pid: int


class Exited(msgspec.Struct, frozen=True, tag="exited"):
    """The executor ended and nothing that it started is left; `signal` None where it exited by itself."""

    executor: int
    exit_code: int | None
    signal: int | None


ToExecutor = Run | ForgetSession
FromExecutor = Report | Ready | Progressed
ToForkserver = Fork | ForkCounts | Kill
FromForkserver = Forked | Exited

to_executor_decoder: MessageDecoder[ToExecutor] = MessageDecoder(ToExecutor)
from_executor_decoder: MessageDecoder[FromExecutor] = MessageDecoder(FromExecutor)
to_forkserver_decoder: MessageDecoder[ToForkserver] = MessageDecoder(ToForkserver)
from_forkserver_decoder: MessageDecoder[FromForkserver] = MessageDecoder(FromForkserver)
