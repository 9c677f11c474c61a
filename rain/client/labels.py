"""What the `map` of a program is given: objects by the labels of its inputs, as columns."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rain.client.arrays import ObjectArray, TaskArray
from rain.client.blocks import ArrayInputs, Elementwise
from rain.client.mapping import ArrayPlan
from rain.client.objects import DataObject, to_dataobj
from rain.client.task import Task
from rain.core.errors import RainException

if TYPE_CHECKING:
    from rain.client.numbers import InputItem


def elements_of(value: Any, what: str) -> DataObject | Elementwise:
    """An object that all tasks read, or what they read element by element. Raises RainException."""
    if isinstance(value, DataObject | Task):
        return to_dataobj(value)
    if isinstance(value, TaskArray):
        return Elementwise(value.output)
    if isinstance(value, ObjectArray):
        return Elementwise(value)
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise RainException(
            f"{what}: expected data objects, one per task, or a single one for all, found {value!r}: "
            "make constants of values, [blob(value) for value in …]"
        )
    return Elementwise([_element(each, number, what) for number, each in enumerate(value)])


def _element(value: Any, number: int, what: str) -> DataObject:
    try:
        return to_dataobj(value)
    except RainException as error:
        raise RainException(f"{what}, element {number}: {error}") from None


def columns_of(rows: Iterable[Mapping[str, Any]], what: str) -> dict[str, list[Any]]:
    """From one dict per task to one list per label. Raises RainException where they have different labels."""
    columns: dict[str, list[Any]] = {}
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise RainException(f'{what}: expected dicts such as [{{"label": obj}}, …], found {rows!r}')
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise RainException(f'{what}: expected dicts such as {{"label": obj}}, element {number} is {row!r}')
        if not number:
            columns = {label: [] for label in row}
        if row.keys() != columns.keys():
            raise RainException(
                f"{what}: element {number} has the labels {sorted(row)}, element 0 has {sorted(columns)}: "
                "give the same to all"
            )
        for label, value in row.items():
            columns[label].append(value)
    return columns


def plan_rows(args: bytes, columns: Sequence[InputItem | Elementwise], n_tasks: int) -> ArrayPlan:
    """Tasks that have their arguments in common."""
    plan = ArrayPlan()
    plan.args += args * n_tasks
    plan.args_size.extend(array("I", (len(args),)) * n_tasks)
    plan.inputs = ArrayInputs(columns)
    return plan


def check_lengths(lengths: Mapping[str, int], what: str) -> int:
    """The length that all have. Raises RainException, which says what is shorter than what."""
    shortest, longest = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
    if lengths[shortest] != lengths[longest]:
        raise RainException(
            f"{what}: {shortest} has {lengths[shortest]} elements, fewer than {longest} with {lengths[longest]}: "
            "all iterables of one map are equally long"
        )
    return lengths[shortest]
