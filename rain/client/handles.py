"""Tasks and objects mixed, as calls take them; and finding the handle of a task that the server names."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rain.client.objects import DataObject
from rain.client.task import Task
from rain.core.errors import RainException

if TYPE_CHECKING:
    from rain.client.session import Session

Item = Task | DataObject
Items = Item | Iterable[Item]


def listed(items: Items) -> list[Item]:
    """The items as a list; one alone is a list of one."""
    if isinstance(items, Task | DataObject):
        return [items]
    try:
        return list(items)
    except TypeError:
        raise RainException(f"expected tasks and data objects, found {type(items).__name__}") from None


def split_items(items: Sequence[Item]) -> tuple[list[Task], list[DataObject]]:
    """Tasks and objects, each in order. Raises RainException for anything else."""
    tasks: list[Task] = []
    objects: list[DataObject] = []
    for item in items:
        if isinstance(item, Task):
            tasks.append(item)
        elif isinstance(item, DataObject):
            objects.append(item)
        else:
            raise RainException(f"expected tasks and data objects, found {type(item).__name__}: {item!r}")
    return tasks, objects


def find_task(session: Session, number: int) -> Task | None:
    """The user's handle of a task, where there still is one.

    Sessions keep no handles: a register would cost every one of a million tasks for the one that fails. So Python's own
    list of objects is searched, once per failure.
    """
    for candidate in gc.get_objects():
        # `type(…)` and not `isinstance`, which would run `__class__` of foreign proxies.
        if issubclass(type(candidate), Task) and candidate._number == number and candidate._session is session:
            found: Task = candidate
            return found
    return None
