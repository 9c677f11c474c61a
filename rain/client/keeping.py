"""What stays after the submit: objects that were marked by `keep()`, and in a notebook those that it has in hand.

In a notebook nobody knows beforehand what will be looked at. So a session that is told to holds the outputs of every
task of which there is a handle (one of its outputs is one, too), until the handle is gone. Elements of task arrays have
no handles until they are asked for: of these only what was marked stays.
"""

from __future__ import annotations

import weakref
from array import array
from collections import deque
from collections.abc import Sequence
from itertools import compress
from typing import TYPE_CHECKING

from rain.client.arrays import ObjectArray
from rain.client.graph import IN_HAND, IS_HELD
from rain.client.objects import DataObject
from rain.core.errors import RainException

if TYPE_CHECKING:
    from rain.client.building import SessionGraph
    from rain.client.task import Task


def keep_objects(graph: SessionGraph, objects: Sequence[DataObject | ObjectArray]) -> None:
    """Marks objects as kept. Raises RainException, with nothing changed, where one may be gone already."""
    builder = graph.builder
    with graph.lock:
        for obj in objects:
            numbers = obj._numbers if isinstance(obj, ObjectArray) else range(obj._number, obj._number + 1)
            if numbers and not builder.may_keep(numbers):
                raise RainException(
                    f"{obj._described()} was submitted already: call `.keep()` before `submit()`, so that it is "
                    "not dropped before"
                )
        for obj in objects:
            if isinstance(obj, ObjectArray):
                builder.keep_run(obj._numbers)
        builder.keep(obj._number for obj in objects if isinstance(obj, DataObject))


class _TaskInHand(weakref.ref["Task"]):
    """A handle of a task, and the numbers of its outputs."""

    __slots__ = ("outputs",)

    outputs: range


class InHand:
    """The handles that a notebook has of tasks of one session."""

    __slots__ = ("_gone", "_new", "_submitted")

    def __init__(self) -> None:
        #: Handles of tasks that are not submitted, and of submitted ones by their first output.
        self._new: list[_TaskInHand] = []
        self._submitted: dict[int, _TaskInHand] = {}
        #: Appended to by the garbage collector, in any thread and at any moment, so nothing is locked there.
        self._gone: deque[range] = deque()

    def note(self, task: Task, n_outputs: int) -> None:
        """A task was made, and this is its handle."""
        found = _TaskInHand(task, self._forget)
        found.outputs = range(task._first_output, task._first_output + n_outputs)
        self._new.append(found)

    def mark(self, flags: bytearray) -> None:
        """The tasks will be submitted: the outputs of those that are still in hand are to stay."""
        for found in self._new:
            if found() is not None:
                for number in found.outputs:
                    flags[number] |= IN_HAND

    def submitted(self) -> None:
        """They were. A handle does not hold what its task has read any longer: the server knows it."""
        for found in self._new:
            task = found()
            if task is not None:
                self._submitted[found.outputs.start] = found
                task._inputs = None
        self._new.clear()

    def let_go(self, flags: bytearray) -> array[int]:
        """Takes the marks away of which the handles are gone; the objects that nothing keeps any longer."""
        dropped = array("I")
        while self._gone:
            outputs = self._gone.popleft()
            self._submitted.pop(outputs.start, None)
            held = [number for number in outputs if flags[number] & IN_HAND]
            for number in held:
                flags[number] &= ~IN_HAND
            dropped.extend(compress(held, [not IS_HELD[flags[number]] for number in held]))
        return dropped

    def _forget(self, found: weakref.ref[Task]) -> None:
        assert isinstance(found, _TaskInHand), "only these are made here"
        self._gone.append(found.outputs)
