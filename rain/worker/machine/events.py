"""What can happen to a worker: past facts, as the shell hands them to the machine.

Bytes stay in the shell's store; the machine knows which objects are there and how large they are.
"""

from __future__ import annotations

from array import array

import msgspec

from rain.core.liveness import Tick
from rain.core.note import TaskProgress
from rain.protocol.executor import RangeDone, TaskDone, TaskFailed, TaskSkipped
from rain.protocol.worker import FromServer


class ServerSaid(msgspec.Struct, frozen=True):
    """A message of the server. Inline sources of a `Compute` are in the store already."""

    message: FromServer


class InputsArrived(msgspec.Struct, frozen=True):
    """Objects that the machine ordered by `Fetch` are in the store now; sizes in bytes, in the same order."""

    session: int
    objects: array[int]
    sizes: array[int]


class InputsUnavailable(msgspec.Struct, frozen=True):
    """Objects that the machine ordered by `Fetch` could not be had from that holder."""

    session: int
    holder: int
    objects: array[int]
    #: Why they could not be written here, though the holder has them; empty: it did not give them.
    unwritten: str = ""


class ExecutorReady(msgspec.Struct, frozen=True):
    """An executor that the machine ordered by `StartExecutor` waits for tasks."""

    executor: int


class ExecutorReported(msgspec.Struct, frozen=True):
    """Tasks of an executor ended; the bytes of their results are in the store already."""

    executor: int
    session: int
    done: tuple[TaskDone, ...]
    failed: tuple[TaskFailed, ...]
    ranges: tuple[RangeDone, ...] = ()
    skipped: tuple[TaskSkipped, ...] = ()


class ExecutorProgressed(msgspec.Struct, frozen=True):
    """A task of an executor said how far it is."""

    executor: int
    session: int
    task: int
    attempt: int
    progress: TaskProgress


class ExecutorEnded(msgspec.Struct, frozen=True):
    """An executor's process and everything it started is gone, by itself or by `KillExecutor`.

    `n_started` counts the tasks of all its batches that it had begun: the last of them is the one that was running, if
    it was not reported before. Those after it never started.
    """

    executor: int
    exit_code: int | None
    signal: int | None
    n_started: int
    #: The ends of what the task that ran, or the process before its first, wrote.
    stderr: str = ""
    stdout: str = ""


Event = (
    ExecutorReported
    | ServerSaid
    | InputsArrived
    | InputsUnavailable
    | ExecutorReady
    | ExecutorEnded
    | ExecutorProgressed
    | Tick
)
