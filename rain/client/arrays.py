"""Task arrays, as `fn.map(…)` makes them: many tasks and their outputs as ranges of numbers, handles only on demand.

An array is a view of a block (see `rain.client.blocks`); a slice of it is another view of the same block.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from rain.client.graph import in_place
from rain.client.records import OBJECT_STATES, TASK_STATES, ObjectPlan
from rain.core.errors import RainException
from rain.core.ids import object_name, task_name
from rain.core.labeled import LabeledList

if TYPE_CHECKING:
    from rain.client.blocks import Block
    from rain.client.objects import DataObject
    from rain.client.session import Session
    from rain.client.task import Task
    from rain.core.spec import OutputSpec
    from rain.data.instance import DataInstance


class _View:
    """What arrays of tasks and of objects have in common: some of the elements of a block."""

    __slots__ = ("__weakref__", "_block", "_rows")

    _block: Block
    #: Which elements of the block, in which order.
    _rows: range

    @property
    def session(self) -> Session:
        """The session it belongs to."""
        return self._block.session

    def __len__(self) -> int:
        return len(self._rows)

    def __reduce__(self) -> Any:
        raise RainException(
            f"{self!r} cannot be pickled: it means something only as an argument of a task of its session"
        )

    @property
    def _session(self) -> Session:
        return self._block.session

    @property
    def _task_numbers(self) -> range:
        return _shifted(self._rows, self._block.first_task, 1)


class TaskArray(_View):
    """The tasks of one `map`, or some of them; what `fn.map(…)` gives.

    `array[3]` is the task of element 3, a slice is an array again. Calls that take tasks take arrays, too; an array
    of tasks with one output each stands for the array of their outputs. `await array` waits for all.
    """

    __slots__ = ()

    def __init__(self, block: Block, rows: range) -> None:
        self._block = block
        self._rows = rows

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> TaskArray: ...
    def __getitem__(self, index: int | slice) -> Task | TaskArray:
        if isinstance(index, slice):
            return TaskArray(self._block, self._rows[index])
        return self._block.task(_row(self._rows, index, "tasks"), stays=True)

    def __iter__(self) -> Iterator[Task]:
        return map(self._handle, range(len(self._rows)))

    @property
    def ids(self) -> list[str]:
        """The names of the tasks, in order."""
        return [task_name(self.session.session_id, number) for number in self._task_numbers]

    @property
    def name(self) -> str | None:
        """The name that views show for each of them."""
        return self.session._graph.name_of(self._block.first_task) if len(self._rows) else None

    @property
    def outputs(self) -> LabeledList[ObjectArray]:
        """One array of objects per declared output, by number or label."""
        outputs = self._block.outputs
        return LabeledList(
            [ObjectArray(self._block, self._rows, place) for place in range(len(outputs))],
            [output.label for output in outputs],
        )

    @property
    def output(self) -> ObjectArray:
        """The only outputs of all tasks. Raises RainException where tasks have none or several."""
        count = len(self._block.outputs)
        if count != 1:
            found = f"{count} outputs each, use `.outputs[number or label]`" if count else "no outputs"
            raise RainException(f"{self._described()} have {found}; exactly one was expected")
        return ObjectArray(self._block, self._rows, 0)

    def keep_outputs(self) -> TaskArray:
        """Keeps all outputs of all tasks; before the submit only."""
        self.session._keep(self.outputs.data)
        return self

    def unkeep_outputs(self) -> TaskArray:
        """Takes `keep()` of all outputs back."""
        self.session.unkeep(self.outputs.data)
        return self

    def wait(self, timeout: float | None = None) -> None:
        """Waits until all are finished. Raises TaskException for one that failed or was cancelled."""
        self.session.wait(self, timeout=timeout)

    def update(self) -> None:
        """Refreshes the states of all; `array[i].update()` also refreshes the `info` of one."""
        self.session.update(self)

    def cancel(self) -> None:
        """Stops all of them and everything that depends on them."""
        self.session.cancel(self)

    def states(self) -> dict[str | None, int]:
        """How many tasks are in which state, as far as a call such as `update()` brought news; None: not submitted."""
        return _counts(self.session._graph.task_states, self._task_numbers, TASK_STATES)

    def __getattr__(self, name: str) -> Any:
        # Only where there is no such attribute.
        if hasattr(ObjectArray, name) and not name.startswith("_"):
            other = "; `.keep_outputs()` keeps all" if name == "keep" else ""
            raise AttributeError(
                f"an array of tasks has no '{name}', the array of their outputs has: `.output.{name}`{other}",
                name=name,
                obj=self,
            )
        raise AttributeError(f"'TaskArray' object has no attribute {name!r}", name=name, obj=self)

    def __await__(self) -> Generator[Any, None, None]:
        return self.session._waiting([self]).__await__()

    def __repr__(self) -> str:
        return f"<TaskArray {self._described()}>"

    def _repr_html_(self) -> str | None:
        from rain.client.reprs import task_array_html

        return task_array_html(self)

    def _handle(self, index: int) -> Task:
        """The task of an element, which nobody asked for by its number."""
        return self._block.task(self._rows[index], stays=False)

    @property
    def _number(self) -> int:
        return self._block.first_task

    @property
    def _numbers(self) -> range:
        return self._task_numbers

    def _described(self) -> str:
        ids = _ends([task_name(self.session.session_id, number) for number in _outer(self._task_numbers)])
        name = f" '{self.name}'" if self.name else ""
        return f"{_count(len(self), 'task')}{ids}{name}"


class ObjectArray(_View):
    """One output of each task of an array; a sequence of data objects that is kept, fetched and passed on as a whole.

    As an argument of a task it arrives as a list; as the iterable of a `map`, element by element.
    """

    __slots__ = ("_place",)

    def __init__(self, block: Block, rows: range, place: int) -> None:
        self._block = block
        self._rows = rows
        self._place = place

    @overload
    def __getitem__(self, index: int) -> DataObject: ...
    @overload
    def __getitem__(self, index: slice) -> ObjectArray: ...
    def __getitem__(self, index: int | slice) -> DataObject | ObjectArray:
        if isinstance(index, slice):
            return ObjectArray(self._block, self._rows[index], self._place)
        return self._block.task(_row(self._rows, index, "objects"), stays=True).outputs[self._place]

    def __iter__(self) -> Iterator[DataObject]:
        return map(self._handle, range(len(self._rows)))

    @property
    def ids(self) -> list[str]:
        """The names of the objects, in order."""
        return [object_name(self.session.session_id, number) for number in self._numbers]

    @property
    def label(self) -> str | None:
        """The label of this output."""
        return self._output.label

    @property
    def content_type(self) -> str | None:
        """The planned content type of each."""
        return self._output.content_type

    def keep(self) -> ObjectArray:
        """Has all of them kept, so that they can be fetched; returns the array.

        Raises RainException after the submit.
        """
        self.session._keep([self])
        return self

    def unkeep(self) -> ObjectArray:
        """Takes `keep()` back, at any time."""
        self.session.unkeep(self)
        return self

    def is_kept(self) -> bool:
        """Whether all of them are kept."""
        return self.session._graph.builder.first_unkept(self._numbers) is None

    def fetch(self, timeout: float | None = None) -> list[DataInstance]:
        """Waits until all are finished and returns their values in order.

        Raises RainException where they are not kept or not submitted, TaskException where one of the tasks failed.
        """
        found: list[DataInstance] = self.session.fetch(self, timeout=timeout)
        return found

    def wait(self, timeout: float | None = None) -> None:
        """Waits until all are finished."""
        self.session.wait(self, timeout=timeout)

    def update(self) -> None:
        """Refreshes the states of all."""
        self.session.update(self)

    def states(self) -> dict[str | None, int]:
        """How many objects are in which state, as far as a call such as `update()` brought news."""
        return _counts(self.session._graph.object_states, self._numbers, OBJECT_STATES)

    def __await__(self) -> Generator[Any, None, list[DataInstance]]:
        return self.session._fetching([self]).first().__await__()

    def __repr__(self) -> str:
        return f"<ObjectArray {self._described()}>"

    def _repr_html_(self) -> str | None:
        from rain.client.reprs import object_array_html

        return object_array_html(self)

    @property
    def _output(self) -> OutputSpec:
        return self._block.outputs[self._place]

    def _handle(self, index: int) -> DataObject:
        """The object of an element, which nobody asked for by its number."""
        return self._block.task(self._rows[index], stays=False).outputs[self._place]

    @property
    def _number(self) -> int:
        return self._block.first_output

    @property
    def _numbers(self) -> range:
        return _shifted(self._rows, self._block.first_output + self._place, len(self._block.outputs))

    def _plan(self, number: int) -> ObjectPlan:
        output = self._output
        return self.session._graph.object_plan(number, output.label, output.content_type)

    def _described(self) -> str:
        ids = _ends([object_name(self.session.session_id, number) for number in _outer(self._numbers)])
        label = f" '{self.label}'" if self.label else ""
        return f"{_count(len(self), 'object')}{ids}{label}"


def _counts(states: bytearray, numbers: range, names: Sequence[str | None]) -> dict[str | None, int]:
    known = states[in_place(numbers)]
    counts = {name: known.count(state) for state, name in enumerate(names)}
    counts[None] += len(numbers) - len(known)
    return {name: count for name, count in counts.items() if count}


def _shifted(rows: range, first: int, width: int) -> range:
    """Numbers of rows of which each has `width` numbers."""
    return range(first + rows.start * width, first + rows.stop * width, rows.step * width)


def _row(rows: range, index: int, what: str) -> int:
    try:
        return rows[index]
    except IndexError:
        raise IndexError(f"there are {len(rows)} {what}, numbered from 0; found {index}") from None
    except TypeError:
        raise TypeError(f"an array is indexed by numbers and slices, found {index!r}") from None


def _outer(numbers: range) -> list[int]:
    return [numbers[0], numbers[-1]] if len(numbers) > 1 else list(numbers)


def _ends(names: list[str]) -> str:
    return f" {' … '.join(names)}" if names else ""


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
