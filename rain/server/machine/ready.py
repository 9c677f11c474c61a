"""The ready tasks of one session, by resource class, priority and b-level: queues of plain integers.

A queue holds runs of consecutive numbers, so that a submit of a million independent tasks is one entry. Within a
priority, the tasks with the longest way to the end of the graph come first, by buckets of b-levels (see `levels`), so
that pushing and taking cost the same however many are ready. In a bucket, tasks that read other tasks' results stand
before those that do not, and they stand in a higher bucket than their b-level's: to go on with what was begun frees
data. Entries are not removed when a task leaves the stage READY by another way, or comes into another bucket: they are
skipped when their turn comes.
"""

from __future__ import annotations

from array import array
from bisect import insort

from rain.server.machine.stages import ASSIGNED, READY

_ASSIGNED_BYTE = bytes((ASSIGNED,))
#: So many buckets higher stand tasks that go on with what was begun; a bucket is a factor of 1.25, see `levels`.
BEGUN_BONUS = 2


class RunQueue:
    """First in, first out; runs of consecutive numbers."""

    __slots__ = ("_first", "_head", "_stop", "count")

    def __init__(self) -> None:
        self._first = array("I")
        self._stop = array("I")
        self._head = 0
        #: Entries, stale ones included.
        self.count = 0

    def push_run(self, first: int, stop: int) -> None:
        """Appends the numbers from `first` to before `stop`."""
        if stop <= first:
            return
        self.count += stop - first
        if self._stop and len(self._stop) > self._head and self._stop[-1] == first:
            self._stop[-1] = stop
            return
        self._first.append(first)
        self._stop.append(stop)

    def push_front(self, task: int) -> None:
        """Puts a number that was taken before all others."""
        self.count += 1
        if self._head < len(self._first) and self._first[self._head] == task + 1:
            self._first[self._head] = task
        elif self._head:
            self._head -= 1
            self._first[self._head], self._stop[self._head] = task, task + 1
        else:
            self._first.insert(0, task)
            self._stop.insert(0, task + 1)

    def pop(self, limit: int) -> range:
        """At most `limit` consecutive numbers from the front; empty when nothing is left."""
        if self._head == len(self._first):
            return range(0)
        first = self._first[self._head]
        stop = min(self._stop[self._head], first + limit)
        self.count -= stop - first
        if stop < self._stop[self._head]:
            self._first[self._head] = stop
            return range(first, stop)
        self._head += 1
        if self._head > 1024 and self._head * 2 > len(self._first):
            del self._first[: self._head]
            del self._stop[: self._head]
            self._head = 0
        return range(first, stop)

    def peek(self) -> int | None:
        """The first entry, perhaps a stale one."""
        return self._first[self._head] if self._head < len(self._first) else None

    def runs(self) -> list[range]:
        """Everything in it, for checks."""
        return [range(self._first[i], self._stop[i]) for i in range(self._head, len(self._first))]


class ReadyQueue:
    """The ready tasks of one session, class and priority."""

    __slots__ = ("_begun", "_count", "_filled", "_fresh", "priority", "resource_class")

    def __init__(self, resource_class: int, priority: int) -> None:
        self.resource_class = resource_class
        self.priority = priority
        #: By bucket: tasks that read results, and tasks that do not.
        self._begun: dict[int, RunQueue] = {}
        self._fresh: dict[int, RunQueue] = {}
        #: A bit for each bucket that has entries.
        self._filled = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, tasks: array[int], reads_results: bool, bucket: int = 0) -> None:
        """Appends tasks, in ascending order."""
        queue = self._queue(reads_results, bucket)
        self._count -= queue.count
        first = stop = 0
        for task in tasks:
            if task == stop and stop:
                stop += 1
                continue
            queue.push_run(first, stop)
            first, stop = task, task + 1
        queue.push_run(first, stop)
        self._count += queue.count

    def push_run(self, first: int, stop: int, bucket: int = 0) -> None:
        """Appends tasks without inputs."""
        self._queue(False, bucket).push_run(first, stop)
        self._count += stop - first

    def push_front(self, task: int, reads_results: bool, bucket: int) -> None:
        """Puts back a task that was taken, before those of its bucket."""
        self._queue(reads_results, bucket).push_front(task)
        self._count += 1

    @property
    def bucket(self) -> int:
        """The highest bucket that has entries; -1 without any."""
        return self._filled.bit_length() - 1

    def peek(self) -> int | None:
        """The first entry, perhaps a stale one."""
        bucket = self.bucket
        return None if bucket < 0 else self._head(bucket).peek()

    def take(self, limit: int, stage: bytearray) -> array[int]:
        """At most `limit` tasks that are READY, off the queue; they are ASSIGNED from now on."""
        taken = array("I")
        while self._filled and len(taken) < limit:
            run = self._pop(limit - len(taken))
            if stage.count(READY, run.start, run.stop) == len(run):
                stage[run.start : run.stop] = _ASSIGNED_BYTE * len(run)
                taken.extend(run)
                continue
            for task in run:
                if stage[task] == READY:
                    stage[task] = ASSIGNED
                    taken.append(task)
        return taken

    def drop_stale(self, stage: bytearray) -> None:
        """Removes stale entries at the front, so that a queue without a ready task is seen to be empty."""
        while (task := self.peek()) is not None and stage[task] != READY:
            self._pop(1)

    def runs(self) -> list[range]:
        """Everything in it, in order, for checks and for who asks what comes before a task."""
        return [
            run
            for bucket in range(self.bucket, -1, -1)
            for queues in (self._begun, self._fresh)
            if bucket in queues
            for run in queues[bucket].runs()
        ]

    def _queue(self, reads_results: bool, bucket: int) -> RunQueue:
        queues = self._begun if reads_results else self._fresh
        if reads_results:
            bucket += BEGUN_BONUS
        queue = queues.get(bucket)
        if queue is None:
            queue = queues[bucket] = RunQueue()
        self._filled |= 1 << bucket
        return queue

    def _head(self, bucket: int) -> RunQueue:
        queue = self._begun.get(bucket)
        return queue if queue is not None and queue.count else self._fresh[bucket]

    def _pop(self, limit: int) -> range:
        bucket = self.bucket
        queue = self._head(bucket)
        run = queue.pop(limit)
        self._count -= len(run)
        if not queue.count:
            for queues in (self._begun, self._fresh):
                if bucket in queues and queues[bucket].count:
                    return run
            self._filled ^= 1 << bucket
        return run


class ReadyTasks:
    """All ready queues of one session, highest priority first."""

    __slots__ = ("_by_key", "_order")

    def __init__(self) -> None:
        self._by_key: dict[tuple[int, int], ReadyQueue] = {}
        self._order: list[tuple[int, int]] = []

    def queue(self, resource_class: int, priority: int) -> ReadyQueue:
        """The queue of this class and priority; made when there is none."""
        key = (-priority, resource_class)
        queue = self._by_key.get(key)
        if queue is None:
            queue = self._by_key[key] = ReadyQueue(resource_class, priority)
            insort(self._order, key)
        return queue

    def queues(self) -> list[ReadyQueue]:
        """The queues that have entries, highest priority first, then that with the longest way to the end."""
        queues = [queue for key in self._order if len(queue := self._by_key[key])]
        if len(queues) > 1:
            queues.sort(key=lambda queue: (-queue.priority, -queue.bucket))
        return queues

    def clear(self) -> None:
        """Nothing is ready any more."""
        self._by_key.clear()
        self._order.clear()
