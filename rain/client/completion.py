"""Tasks and objects in the order in which they finish; arrays among them element by element."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from rain.client.arrays import ObjectArray, TaskArray
from rain.client.objects import DataObject
from rain.client.pending import Pending
from rain.client.task import Task

#: Something that is waited for, the tasks that it needs, and which of its elements are left (of an array).
_Left = tuple[Task | DataObject | TaskArray | ObjectArray, Sequence[int], Sequence[int]]


class InOrderOfCompletion(Iterator[Task | DataObject], AsyncIterator[Task | DataObject]):
    """Yields the items as they finish, by `for` or by `async for`.

    Between two answers arrays are columns of numbers; a handle of an element is made when it is yielded. After a
    TimeoutError the next step goes on waiting.
    """

    def __init__(
        self,
        items: Sequence[Task | DataObject | TaskArray | ObjectArray],
        finished_among: Callable[[array[int]], Pending[set[int]]],
        timeout: float | None,
    ) -> None:
        """`finished_among(tasks)` waits until some of these are finished and says which; `timeout` is for each step."""
        self._finished_among = finished_among
        self._timeout = timeout
        self._left: list[_Left] = []
        constants: list[Task | DataObject] = []
        for item in items:
            if isinstance(item, TaskArray | ObjectArray):
                if len(item):
                    self._left.append((item, item._task_numbers, range(len(item))))
            elif isinstance(item, DataObject) and item._task is None:
                constants.append(item)
            else:
                task = item._task if isinstance(item, DataObject) else item
                assert task is not None, "constants are finished from the start"
                self._left.append((item, (task._number,), (0,)))
        self._ready: Iterator[Task | DataObject] = iter(constants)

    def __next__(self) -> Task | DataObject:
        item = next(self._ready, None)
        while item is None:
            if not self._left:
                raise StopIteration
            self._learn(self._finished_among(self._wanted()).result(self._timeout))
            item = next(self._ready, None)
        return item

    async def __anext__(self) -> Task | DataObject:
        item = next(self._ready, None)
        while item is None:
            if not self._left:
                raise StopAsyncIteration
            self._learn(await self._finished_among(self._wanted()).within(self._timeout))
            item = next(self._ready, None)
        return item

    def _wanted(self) -> array[int]:
        wanted = array("I")
        for _, tasks, rows in self._left:
            wanted.extend(map(tasks.__getitem__, rows))
        return wanted

    def _learn(self, done: set[int]) -> None:
        finished: list[tuple[Task | DataObject | TaskArray | ObjectArray, list[int]]] = []
        still: list[_Left] = []
        for item, tasks, rows in self._left:
            unfinished = array("I", (row for row in rows if tasks[row] not in done))
            if len(unfinished) < len(rows):
                finished.append((item, [row for row in rows if tasks[row] in done]))
            if unfinished:
                still.append((item, tasks, unfinished))
        self._left = still
        self._ready = (element for item, rows in finished for element in _elements(item, rows))


def _elements(item: Task | DataObject | TaskArray | ObjectArray, rows: Sequence[int]) -> Iterator[Task | DataObject]:
    if isinstance(item, TaskArray | ObjectArray):
        return (item._handle(row) for row in rows)
    return iter((item,))
