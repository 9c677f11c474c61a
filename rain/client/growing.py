"""From the plan of a task array to tasks of a session's graph, all of them or none."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rain.client.arrays import ObjectArray, TaskArray
from rain.client.blocks import ArrayInputs, Block, Elementwise
from rain.client.graph import Rows
from rain.client.large import argument_objects
from rain.client.numbers import number_column
from rain.core.errors import RainException
from rain.core.ids import MAX_ID

if TYPE_CHECKING:
    from rain.client.mapping import ArrayPlan
    from rain.client.numbers import InputItem
    from rain.client.session import Session
    from rain.core.spec import OutputSpec


def add_array(session: Session, spec: int, outputs: tuple[OutputSpec, ...], plan: ArrayPlan) -> TaskArray:
    """Makes the tasks. Raises RainException with nothing changed, such as for an input of another session."""
    session._check_open("added to")
    n_tasks = len(plan.args_size)
    graph = session._graph
    with graph.lock:
        graph.check_inputs(_items(plan.inputs))
        graph.check_args(max(plan.args_size, default=0))
        n_constants = len(plan.constants) + len(plan.own_constants)
        graph.check_room(n_tasks, n_tasks * len(outputs) + n_constants)
        _check_size(plan.inputs, n_tasks)
        if not n_tasks:
            return TaskArray(Block(session, first_task=0, first_output=0, outputs=outputs), range(0))
        columns = _with_constants(session, plan.inputs.columns, plan.constants)
        own = _with_constants(session, plan.inputs.own, plan.own_constants)
        inputs = ArrayInputs(columns, own, plan.inputs.own_end)
        n_inputs, numbers = _input_columns(inputs, n_tasks)
        rows = Rows(n_tasks=n_tasks, n_inputs=n_inputs, inputs=numbers, args_size=plan.args_size, args=plan.args)
        first_task, first_output = graph.add_tasks(spec, len(outputs), _items(inputs), rows)
        block = Block(session, first_task=first_task, first_output=first_output, outputs=outputs, inputs=inputs)
        graph.register(block, n_tasks)
    return TaskArray(block, range(n_tasks))


def _items(inputs: ArrayInputs) -> Iterable[InputItem]:
    """Everything that is read, arrays as a whole; without the constants that are still to be made."""
    for column in inputs.columns:
        if column is None:
            continue
        if not isinstance(column, Elementwise):
            yield column
        elif isinstance(column.values, ObjectArray):
            yield column.values
        else:
            yield from column.values
    yield from (item for item in inputs.own if item is not None)


def _check_size(inputs: ArrayInputs, n_tasks: int) -> None:
    width = sum(len(column) if isinstance(column, ObjectArray) else 1 for column in inputs.columns)
    if width * n_tasks > MAX_ID:
        raise RainException(
            f"{n_tasks} tasks with {width} inputs each are too many inputs, at most {MAX_ID} can be sent: "
            "have one task put together what all of them read"
        )


def _with_constants(session: Session, items: Sequence[Any], instances: Sequence[tuple[int, Any]]) -> Sequence[Any]:
    """The inputs, instances among them made constants of the session."""
    if not instances:
        return items
    filled = list(items)
    made = argument_objects(session, [instance for _, instance in instances])
    for (place, _), obj in zip(instances, made, strict=True):
        filled[place] = obj
    return filled


def _input_columns(inputs: ArrayInputs, n_tasks: int) -> tuple[array[int], array[int]]:
    """How many inputs each task has, and the numbers of all, task after task."""
    parts: list[array[int]] = []
    for column in inputs.columns:
        if isinstance(column, Elementwise):
            values = column.values
            parts.append(number_column([values] if isinstance(values, ObjectArray) else values))
        else:
            parts += [array("I", (number,)) * n_tasks for number in number_column([column])]
    width = len(parts)
    numbers = array("I", bytes(4 * width * n_tasks))
    for place, part in enumerate(parts):
        numbers[place::width] = part
    if not inputs.own:
        return array("I", (width,)) * n_tasks, numbers
    own = _numbers_of_each(inputs.own)
    counts, all_numbers = array("I"), array("I")
    start = 0
    for row, end in enumerate(inputs.own_end):
        before = len(all_numbers)
        all_numbers.extend(numbers[row * width : (row + 1) * width])
        for own_numbers in own[start:end]:
            all_numbers.extend(own_numbers)
        counts.append(len(all_numbers) - before)
        start = end
    return counts, all_numbers


def _numbers_of_each(items: Sequence[Any]) -> list[Sequence[int]]:
    """The numbers of each item: one of an object, all of an array."""
    return [item._numbers if isinstance(item, ObjectArray) else (item._number,) for item in items]
