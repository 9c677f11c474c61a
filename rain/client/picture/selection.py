"""Which tasks of a graph are drawn."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import compress

import msgspec

from rain.client.picture.shape import GraphShape

#: Stands between the levels of a name.
LEVEL = "/"


class Selection(msgspec.Struct, frozen=True):
    """Tasks in ascending order, and in words which ones they are."""

    tasks: Sequence[int]
    #: "" where they are all.
    told: str = ""

    @property
    def is_everything(self) -> bool:
        """Whether nothing was left out."""
        return isinstance(self.tasks, range)

    def of(self, column: array[int]) -> array[int]:
        """The rows of these tasks."""
        return column if self.is_everything else array(column.typecode, map(column.__getitem__, self.tasks))


class Centre(msgspec.Struct, frozen=True):
    """What a part of a graph is drawn around: numbers of tasks, and of constants."""

    tasks: Sequence[int]
    constants: Sequence[int] = ()


def everything(shape: GraphShape) -> Selection:
    """All tasks."""
    return Selection(range(shape.n_tasks))


def in_group(shape: GraphShape, group: str) -> Selection:
    """The tasks whose name is this one, or begins with it and a "/"."""
    beginning = group.rstrip(LEVEL)
    is_inside = bytes(name == beginning or name.startswith(beginning + LEVEL) for name in shape.names)
    tasks = array("I", compress(range(shape.n_tasks), map(is_inside.__getitem__, shape.spec)))
    return Selection(tasks, f"of {beginning}")


def around(shape: GraphShape, centre: Centre, steps: int) -> Selection:
    """These tasks, those that read these constants, and what lies so many steps before and after them."""
    tasks = set(centre.tasks) | shape.readers_of(set(centre.constants))
    return Selection(array("I", sorted(shape.neighbourhood(tasks, steps))), f"of {shape.n_tasks:,}")
