"""The arguments of a session's tasks: one segment of bytes per part of a submit, no Python object per task."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import accumulate

from rain.core.errors import InvariantViolation, ProtocolViolation
from rain.protocol.columns import EMPTY, Column, check_total, unpack

#: Bytes of a size in a column of sizes.
_SIZE_BYTES = 4


class _PartArguments:
    """Arguments of the tasks `first … first + n - 1`, one after the other."""

    __slots__ = ("data", "first", "is_resident", "n", "offsets", "sizes", "wanted")

    def __init__(self, first: int, n: int, sizes: Column, data: Column, *, is_resident: bool) -> None:
        self.first = first
        self.n = n
        #: u32 per task.
        self.sizes = sizes
        #: n + 1 positions in `data`; empty where all tasks have no arguments.
        self.offsets: array[int] = array("I")
        if data:
            self.offsets.extend(accumulate(unpack("I", sizes, "args_size"), initial=0))
        self.data = data
        #: The data is in memory, and not in a file.
        self.is_resident = is_resident
        #: Tasks that were not forgotten yet.
        self.wanted = n

    def size_run(self, start: int, stop: int) -> Column:
        """Sizes of the tasks start … stop - 1 (counted within the segment)."""
        return self.sizes[start * _SIZE_BYTES : stop * _SIZE_BYTES]

    def data_run(self, start: int, stop: int) -> Column:
        """Arguments of the tasks start … stop - 1."""
        return self.data[self.offsets[start] : self.offsets[stop]] if self.data else EMPTY


class Arguments:
    """What the tasks of one session are called with; a segment is freed when all of its tasks are forgotten."""

    __slots__ = ("_firsts", "_segments", "n_bytes", "resident_bytes")

    def __init__(self) -> None:
        #: In the order of their tasks, beside the number of each one's first task.
        self._segments: list[_PartArguments] = []
        self._firsts: list[int] = []
        self.n_bytes = 0
        #: Of these, what is in memory.
        self.resident_bytes = 0

    def check(self, first: int, n: int, sizes: Column, data: Column) -> None:
        """Raises ProtocolViolation unless the columns fit one another and the tasks are new."""
        if sizes or data:
            check_total(unpack("I", sizes, "args_size", n), len(data), "arguments")
        if self._segments and first < self._segments[-1].first + self._segments[-1].n:
            raise ProtocolViolation(f"task {first} was submitted before")

    def add(self, first: int, n: int, sizes: Column, data: Column, *, mapped: Column | None = None) -> None:
        """Keep the arguments of `n` new tasks, checked before. `sizes` may be empty when there are no bytes at all.

        `mapped`: the data once more, in a file; without it a copy is kept in memory.
        """
        if not n:
            return
        # Copied: a view would keep the whole message alive, constants included.
        kept = memoryview(bytes(sizes)) if data else memoryview(bytes(n * _SIZE_BYTES))
        is_resident = mapped is None
        copied = memoryview(bytes(data)) if mapped is None else mapped
        self._segments.append(_PartArguments(first, n, kept, copied, is_resident=is_resident))
        self._firsts.append(first)
        self.n_bytes += len(data)
        self.resident_bytes += len(data) if is_resident else 0

    def of(self, tasks: array[int]) -> tuple[Column, Column]:
        """Sizes (u32 per task) and bytes of these tasks' arguments, in order; no copy where they follow one another."""
        if not tasks:
            return EMPTY, EMPTY
        segment = self._segment(tasks[0])
        start = tasks[0] - segment.first
        stop = start + len(tasks)
        if stop <= segment.n and tasks == array("I", range(tasks[0], tasks[0] + len(tasks))):
            return segment.size_run(start, stop), segment.data_run(start, stop)
        sizes: list[Column] = []
        parts: list[Column] = []
        for task in tasks:
            at = task - segment.first
            if not 0 <= at < segment.n:
                segment = self._segment(task)
                at = task - segment.first
            sizes.append(segment.size_run(at, at + 1))
            if segment.data:
                parts.append(segment.data_run(at, at + 1))
        return memoryview(b"".join(sizes)), memoryview(b"".join(parts))

    def forget(self, tasks: array[int]) -> int:
        """These tasks never run again (each is said once); how many bytes that freed."""
        if not tasks:
            return 0
        before = self.n_bytes
        segment = self._segment(min(tasks))
        if max(tasks) < segment.first + segment.n:
            self._forget(segment, len(tasks))
        else:
            for task in tasks:
                if not 0 <= task - segment.first < segment.n:
                    segment = self._segment(task)
                self._forget(segment, 1)
        return before - self.n_bytes

    def _forget(self, segment: _PartArguments, n: int) -> None:
        segment.wanted -= n
        if segment.wanted == 0:
            at = self._firsts.index(segment.first)
            del self._segments[at], self._firsts[at]
            self.n_bytes -= len(segment.data)
            self.resident_bytes -= len(segment.data) if segment.is_resident else 0

    def _segment(self, task: int) -> _PartArguments:
        at = bisect_right(self._firsts, task) - 1
        if at < 0 or task >= self._segments[at].first + self._segments[at].n:
            raise InvariantViolation(f"the arguments of task {task} are not in the stash")
        return self._segments[at]
