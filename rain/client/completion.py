"""Tasks and objects in the order in which they finish; arrays among them element by element."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence

from rain.client.arrays import ObjectArray, TaskArray
from rain.client.objects import DataObject
from rain.client.task import Task

#: Something that is waited for, the tasks that it needs, and which of its elements are left (of an array).
_Left = tuple[Task | DataObject | TaskArray | ObjectArray, Sequence[int], Sequence[int]]


def in_order_of_completion(
    items: Sequence[Task | DataObject | TaskArray | ObjectArray], finished_among: Callable[[array[int]], set[int]]
) -> Iterator[Task | DataObject]:
    """Yields the items as they finish; `finished_among(tasks)` waits until some of these are finished and says which.

    Between two answers arrays are columns of numbers; a handle of an element is made when it is yielded.
    """
    left: list[_Left] = []
    for item in items:
        if isinstance(item, TaskArray | ObjectArray):
            left.append((item, item._task_numbers, range(len(item))))
        elif isinstance(item, DataObject) and item._task is None:
            yield item
        else:
            task = item._task if isinstance(item, DataObject) else item
            assert task is not None, "constants were yielded before"
            left.append((item, (task._number,), (0,)))
    while left:
        wanted = array("I")
        for _, tasks, rows in left:
            wanted.extend(map(tasks.__getitem__, rows))
        done = finished_among(wanted)
        still: list[_Left] = []
        for item, tasks, rows in left:
            unfinished = array("I", (row for row in rows if tasks[row] not in done))
            if len(unfinished) < len(rows):
                yield from _elements(item, [row for row in rows if tasks[row] in done])
            if unfinished:
                still.append((item, tasks, unfinished))
        left = still


def _elements(item: Task | DataObject | TaskArray | ObjectArray, rows: Sequence[int]) -> Iterator[Task | DataObject]:
    if isinstance(item, TaskArray | ObjectArray):
        return (item._handle(row) for row in rows)
    return iter((item,))
