"""The tasks that one `map` makes: a block of consecutive numbers, what each of them reads, and handles on demand."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rain.client.arrays import ObjectArray
from rain.client.task import Task

if TYPE_CHECKING:
    from rain.client.numbers import InputItem
    from rain.client.objects import DataObject
    from rain.client.session import Session
    from rain.core.spec import OutputSpec


class Elementwise:
    """Inputs of an array of tasks of which element i reads the i-th."""

    __slots__ = ("values",)

    def __init__(self, values: ObjectArray | Sequence[DataObject]) -> None:
        self.values = values


class ArrayInputs:
    """What the tasks of a block read: the same for all, element by element, and what single elements contain."""

    __slots__ = ("columns", "own", "own_end")

    def __init__(
        self,
        columns: Sequence[Any] = (),
        own: Sequence[Any] = (),
        own_end: Sequence[int] = (),
    ) -> None:
        #: Objects, arrays of them and `Elementwise`; None, also in `own`: a constant that is still to be made.
        self.columns = columns
        #: The objects inside single elements, element after element; per element where its own end, empty without any.
        self.own = own
        self.own_end = own_end

    def of(self, index: int) -> list[InputItem]:
        """The inputs of one element, in order."""
        found: list[InputItem] = []
        for column in self.columns:
            if not isinstance(column, Elementwise):
                found.append(column)
            elif isinstance(column.values, ObjectArray):
                found.append(column.values[index : index + 1])
            else:
                found.append(column.values[index])
        if len(self.own_end):
            found += self.own[self.own_end[index - 1] if index else 0 : self.own_end[index]]
        return found


class Block:
    """The tasks of one `map`: consecutive numbers, one spec."""

    __slots__ = (
        "__weakref__",
        "_asked_for",
        "_handles",
        "first_output",
        "first_task",
        "inputs",
        "outputs",
        "session",
    )

    def __init__(
        self,
        session: Session,
        *,
        first_task: int,
        first_output: int,
        outputs: tuple[OutputSpec, ...],
        inputs: ArrayInputs | None = None,
    ) -> None:
        self.session = session
        self.first_task = first_task
        self.first_output = first_output
        self.outputs = outputs
        self.inputs = inputs if inputs is not None else ArrayInputs()
        #: One handle per element while anybody has it; those that were asked for by number stay.
        self._handles: weakref.WeakValueDictionary[int, Task] = weakref.WeakValueDictionary()
        self._asked_for: dict[int, Task] = {}

    def task(self, index: int, *, stays: bool) -> Task:
        """The handle of an element."""
        with self.session._graph.lock:
            task = self._handles.get(index)
            if task is None:
                task = Task.__new__(Task)
                first_output = self.first_output + index * len(self.outputs)
                task._set(self.session, self.first_task + index, first_output, self.inputs.of(index))
                self._handles[index] = task
            if stays:
                self._asked_for[index] = task
        return task
