"""From tasks, objects and arrays of them, mixed, to their numbers, and back."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from rain.client.arrays import ObjectArray, TaskArray
from rain.client.graph import in_place

if TYPE_CHECKING:
    from rain.client.objects import DataObject
    from rain.client.task import Task

    #: What a task reads: objects, and arrays of them as a whole.
    InputItem: TypeAlias = "DataObject | ObjectArray"


def number_column(items: Sequence[Any]) -> array[int]:
    """The numbers of tasks, or of objects, and of arrays of them, in order."""
    numbers = array("I")
    for item in items:
        if isinstance(item, TaskArray | ObjectArray):
            numbers.extend(item._numbers)
        else:
            numbers.append(item._number)
    return numbers


def awaited_tasks(tasks: Iterable[Task | TaskArray], objects: Iterable[DataObject | ObjectArray]) -> array[int]:
    """The numbers of the tasks that all these wait for; constants wait for none."""
    runs = array("I")
    single: dict[int, None] = {}
    for item in (*tasks, *objects):
        if isinstance(item, TaskArray | ObjectArray):
            runs.extend(item._task_numbers)
        else:
            task = getattr(item, "_task", item)
            if task is not None:
                single[task._number] = None
    runs.extend(single)
    return runs


def mark(states: bytearray, numbers: range, state: int) -> None:
    """Sets the states of all these rows."""
    states[in_place(numbers)] = bytes([state]) * len(numbers)


def expanded(inputs: Sequence[InputItem]) -> list[DataObject]:
    """The objects, arrays among them one by one."""
    found: list[DataObject] = []
    for item in inputs:
        if isinstance(item, ObjectArray):
            found.extend(item)
        else:
            found.append(item)
    return found
