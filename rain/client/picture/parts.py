"""What a picture of a graph is made of, before anybody says how it is laid out."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import msgspec


class Shape(Enum):
    """What a node stands for."""

    TASK = "task"
    OBJECT = "object"
    CONSTANT = "constant"
    GROUP = "group"


class Node(msgspec.Struct, frozen=True):
    """A task, an object, or a group of tasks."""

    key: str
    shape: Shape
    #: What it is called.
    title: str
    #: Its id, or nothing.
    detail: str = ""
    #: How many are in which state, None: not submitted; empty for what has no state.
    states: Mapping[str | None, int] = {}
    #: Results of it are kept.
    is_kept: bool = False

    @property
    def count(self) -> int:
        """How many tasks or objects it stands for."""
        return sum(self.states.values())


class Edge(msgspec.Struct, frozen=True):
    """Data go from one node to another; `count`: along so many edges of the graph."""

    tail: str
    head: str
    count: int = 1


class Picture(msgspec.Struct, frozen=True):
    """What is drawn, and in words what that is."""

    caption: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
