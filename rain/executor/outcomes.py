"""What became of tasks, on its way to the worker: outcomes wait a moment for others to travel with."""

from __future__ import annotations

from array import array
from itertools import pairwise

from rain.core.failure import Failure
from rain.core.note import TaskNote
from rain.executor.outlet import Outlet
from rain.protocol.codec import encode
from rain.protocol.columns import EMPTY, column
from rain.protocol.executor import Produced, RangeDone, Report, RunTask, TaskDone, TaskFailed, TaskSkipped

#: Results wait at most this long for others to travel with, unless a task of a kind or function that was quick so far
#: turns out slow.
FLUSH_NS = 1_000_000
#: Results of neighbours that are all quick wait at most this long.
QUICK_FLUSH_NS = 3_000_000
FLUSH_BYTES = 256 << 10


class Outcomes:
    """The outcomes of tasks of one session at a time that were not sent yet."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._session = 0
        self._done: list[TaskDone] = []
        self._failed: list[TaskFailed] = []
        self._ranges: list[RangeDone] = []
        self._skipped: list[TaskSkipped] = []
        self._bytes = 0
        #: When something was sent last.
        self.flushed_ns = 0

    def begin(self, session: int, now_ns: int) -> None:
        """Tasks of this session begin; there are none of others here."""
        self._session = session
        self.flushed_ns = now_ns

    @property
    def any(self) -> bool:
        """Whether one waits."""
        return bool(self._done or self._failed or self._ranges or self._skipped)

    def done(self, task: RunTask, spent_ns: int, outputs: tuple[Produced, ...], note: TaskNote | None) -> None:
        """A task succeeded."""
        self._done.append(TaskDone(task.task, task.attempt, spent_ns // 1000, outputs, note))
        for produced in outputs:
            if produced.data:
                self._bytes += produced.size
        self._count_note(note)

    def failed(self, task: RunTask, spent_ns: int, failure: Failure, note: TaskNote | None) -> None:
        """A task failed."""
        self._failed.append(TaskFailed(task.task, task.attempt, spent_ns // 1000, failure, note))
        self._count_note(note)

    def skipped(self, task: RunTask) -> None:
        """A task cannot run in this batch."""
        self._skipped.append(TaskSkipped(task.task, task.attempt))

    def range_done(
        self, first: RunTask, times_ns: list[int], results: list[bytes], n_outputs: int, content_type: str | None
    ) -> None:
        """Neighbours succeeded, from this one on; `times_ns`: when it began, and when each of them ended."""
        data = b"".join(results)
        self._bytes += len(data)
        self._ranges.append(
            RangeDone(
                task=first.task,
                count=len(results),
                attempt=first.attempt,
                duration_us=column(array("I", [(end - begin) // 1000 for begin, end in pairwise(times_ns)])),
                size=column(array("Q", map(len, results))) if n_outputs else EMPTY,
                data=memoryview(data),
                content_type=content_type,
            )
        )

    def flush_if_due(self, now_ns: int) -> None:
        """Sends what waits long enough, or is much."""
        if now_ns - self.flushed_ns >= FLUSH_NS or self._bytes > FLUSH_BYTES:
            self.flush(now_ns)

    def flush(self, now_ns: int) -> None:
        """Sends all that waits."""
        self.flushed_ns = now_ns
        if self.any:
            ended = tuple(self._done), tuple(self._failed), tuple(self._ranges), tuple(self._skipped)
            report = Report(self._session, *ended)
            self._outlet.send(encode(report))
            self._done.clear()
            self._failed.clear()
            self._ranges.clear()
            self._skipped.clear()
            self._bytes = 0

    def _count_note(self, note: TaskNote | None) -> None:
        if note is not None:
            self._bytes += len(note.debug) + len(note.user) + len(note.stdout) + len(note.stderr)
