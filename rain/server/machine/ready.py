"""The ready tasks of one session, by resource class and priority: queues of plain integers.

A queue holds runs of consecutive numbers, so that a submit of a million independent tasks is one entry. Tasks that
read other tasks' results stand before those that do not: to go on with what was begun frees data. Entries are not
removed when a task leaves the stage READY by another way: they are skipped when their turn comes.
"""

from __future__ import annotations

from array import array
from bisect import insort

from rain.server.machine.stages import ASSIGNED, READY

_ASSIGNED_BYTE = bytes((ASSIGNED,))


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

    __slots__ = ("_begun", "_fresh", "priority", "resource_class")

    def __init__(self, resource_class: int, priority: int) -> None:
        self.resource_class = resource_class
        self.priority = priority
        self._begun = RunQueue()
        self._fresh = RunQueue()

    def __len__(self) -> int:
        return self._begun.count + self._fresh.count

    def push(self, tasks: array[int], reads_results: bool) -> None:
        """Appends tasks, in ascending order."""
        queue = self._begun if reads_results else self._fresh
        first = stop = 0
        for task in tasks:
            if task == stop and stop:
                stop += 1
                continue
            queue.push_run(first, stop)
            first, stop = task, task + 1
        queue.push_run(first, stop)

    def push_run(self, first: int, stop: int) -> None:
        """Appends tasks without inputs."""
        self._fresh.push_run(first, stop)

    def peek(self) -> int | None:
        """The first entry, perhaps a stale one."""
        begun = self._begun.peek()
        return begun if begun is not None else self._fresh.peek()

    def take(self, limit: int, stage: bytearray) -> array[int]:
        """At most `limit` tasks that are READY, off the queue; they are ASSIGNED from now on."""
        taken = array("I")
        for queue in (self._begun, self._fresh):
            while len(taken) < limit and queue.count:
                run = queue.pop(limit - len(taken))
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
        for queue in (self._begun, self._fresh):
            while (task := queue.peek()) is not None and stage[task] != READY:
                queue.pop(1)

    def runs(self) -> list[range]:
        """Everything in it, for checks."""
        return self._begun.runs() + self._fresh.runs()


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
        """The queues that have entries, highest priority first."""
        return [queue for key in self._order if len(queue := self._by_key[key])]

    def clear(self) -> None:
        """Nothing is ready any more."""
        self._by_key.clear()
        self._order.clear()
