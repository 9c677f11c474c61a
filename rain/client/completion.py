"""Tasks and objects in the order in which they finish; arrays among them element by element."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

from rain.client.arrays import ObjectArray, TaskArray
from rain.client.objects import DataObject
from rain.client.pending import Pending
from rain.client.task import Task
from rain.core.marked import Marked

Handle = Task | DataObject


class InOrderOfCompletion(Iterator[Handle], AsyncIterator[Handle]):
    """Yields the items as they finish, by `for` or by `async for`.

    Each step costs what finished since the last one, however many are left. A handle of an array's element is made
    when it is yielded. After a TimeoutError the next step goes on waiting.
    """

    def __init__(
        self,
        items: Sequence[Task | DataObject | TaskArray | ObjectArray],
        follow: Callable[[array[int], int], Pending[tuple[int, array[int]]]],
        unfollow: Callable[[int], None],
        timeout: float | None,
    ) -> None:
        """`follow(tasks, 0)` waits until some of these are finished; gives the number of the wait and which they are.

        With that number, `follow((), number)` waits for those that were not finished then, unless `unfollow(number)`
        said that nobody will. `timeout` is for each step.
        """
        self._follow = follow
        self._unfollow = unfollow
        self._timeout = timeout
        #: The last wait, if it was answered; 0: all that are left must be named.
        self._after = 0
        self._handles: dict[int, list[Handle]] = {}
        self._arrays: list[TaskArray | ObjectArray] = []
        constants: list[Handle] = []
        for item in items:
            if isinstance(item, TaskArray | ObjectArray):
                if len(item):
                    self._arrays.append(item)
            elif isinstance(item, DataObject) and item._task is None:
                constants.append(item)
            else:
                task = item._task if isinstance(item, DataObject) else item
                assert task is not None, "constants are finished from the start"
                self._handles.setdefault(task._number, []).append(item)
        self._ready: Iterator[Handle] = iter(constants)
        self._left = Marked(self._awaited())

    def __next__(self) -> Handle:
        item = next(self._ready, None)
        while item is None:
            if not self._left:
                raise StopIteration
            self._learn(self._ask().result(self._timeout))
            item = next(self._ready, None)
        return item

    async def __anext__(self) -> Handle:
        item = next(self._ready, None)
        while item is None:
            if not self._left:
                raise StopAsyncIteration
            self._learn(await self._ask().within(self._timeout))
            item = next(self._ready, None)
        return item

    def __del__(self) -> None:
        # Let go before the end: the server need not remember what is left.
        if getattr(self, "_after", 0) and self._left:
            self._unfollow(self._after)

    def _awaited(self) -> array[int]:
        numbers = array("I", self._handles)
        for item in self._arrays:
            numbers.extend(item._task_numbers)
        return numbers

    def _ask(self) -> Pending[tuple[int, array[int]]]:
        # Until the answer is here: whoever gives this step up does not learn what the answer would have been.
        after, self._after = self._after, 0
        return self._follow(array("I") if after else self._left.numbers(), after)

    def _learn(self, answer: tuple[int, array[int]]) -> None:
        self._after, done = answer
        for number in done:
            self._left.discard(number)
        self._ready = self._finished(done)

    def _finished(self, done: Iterable[int]) -> Iterator[Handle]:
        for number in done:
            yield from self._handles.pop(number, ())
            for item in self._arrays:
                if number in item._task_numbers:
                    yield item._handle(item._task_numbers.index(number))
