"""Tasks and objects mixed, as calls take them; and finding the handle of a task that the server names."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rain.client.arrays import ObjectArray, TaskArray
from rain.client.objects import DataObject, to_dataobj
from rain.client.task import Task
from rain.core.errors import RainException

if TYPE_CHECKING:
    from rain.client.building import SessionGraph
    from rain.client.session import Session

Item = Task | DataObject | TaskArray | ObjectArray
Items = Item | Iterable[Item]


def listed(items: Items) -> list[Item]:
    """The items as a list; one alone is a list of one, an array too."""
    if isinstance(items, Task | DataObject | TaskArray | ObjectArray):
        return [items]
    try:
        return list(items)
    except TypeError:
        raise RainException(f"expected tasks and data objects, found {type(items).__name__}") from None


def split_items(items: Sequence[Item]) -> tuple[list[Task | TaskArray], list[DataObject | ObjectArray]]:
    """Tasks and objects, each in order; arrays as a whole, empty ones left out.

    Raises RainException for anything else.
    """
    tasks: list[Task | TaskArray] = []
    objects: list[DataObject | ObjectArray] = []
    for item in items:
        if is_empty(item):
            continue
        if isinstance(item, Task | TaskArray):
            tasks.append(item)
        elif isinstance(item, DataObject | ObjectArray):
            objects.append(item)
        else:
            raise RainException(f"expected tasks and data objects, found {type(item).__name__}: {item!r}")
    return tasks, objects


def check_submitted(
    graph: SessionGraph, tasks: Iterable[Task | TaskArray], objects: Iterable[DataObject | ObjectArray], what: str
) -> None:
    """Raises RainException unless all of these went with a submit."""
    builder = graph.builder
    missing: Task | TaskArray | DataObject | ObjectArray | None = next(
        (task for task in tasks if not builder.is_submitted_task(task._number)), None
    )
    if missing is None:
        missing = next((obj for obj in objects if not builder.is_submitted_object(obj._number)), None)
    if missing is not None:
        raise RainException(f"{missing._described()} is not submitted, so it cannot be {what}: call `submit()` first")


def is_empty(item: object) -> bool:
    """Whether it is an array without elements, of which nothing is to be asked."""
    return isinstance(item, TaskArray | ObjectArray) and not len(item)


def to_objects(item: Any) -> DataObject | ObjectArray:
    """The object that an item stands for, or the array of objects. Raises RainException."""
    if isinstance(item, TaskArray):
        return item.output
    return item if isinstance(item, ObjectArray) else to_dataobj(item)


def computed(items: Sequence[Any]) -> tuple[list[DataObject | ObjectArray], bool]:
    """What the items of `compute(*items)` stand for, and whether it is one alone; one list stands for its items.

    Raises RainException.
    """
    is_list = len(items) == 1 and isinstance(items[0], list | tuple)
    inner = items[0] if is_list else items
    for item in inner:
        if isinstance(item, list | tuple):
            raise RainException(
                f"compute(): expected tasks and data objects, or one list of them, found a {type(item).__name__} among "
                "others: write `compute(*items)`"
            )
    return [to_objects(item) for item in inner], len(items) == 1 and not is_list


def find_task(session: Session, number: int) -> Task | None:
    """The user's handle of a task, where there still is one."""
    return find_handles(session, {number}).get(number)


def find_handles(session: Session, numbers: Collection[int]) -> dict[int, Task]:
    """The user's handles of these tasks, as far as there still are any, by number.

    Sessions keep no handles: a register would cost every one of a million tasks for the one that fails. So Python's own
    list of objects is searched, once per failure.
    """
    found: dict[int, Task] = {}
    if not numbers:
        return found
    for candidate in gc.get_objects():
        # `type(…)` and not `isinstance`, which would run `__class__` of foreign proxies.
        if not issubclass(type(candidate), Task):
            continue
        # A task whose making was refused has no number; its traceback may keep it alive.
        number = getattr(candidate, "_number", -1)
        if number in numbers and candidate._session is session:
            found[number] = candidate
            if len(found) == len(numbers):
                break
    return found
