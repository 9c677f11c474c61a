"""The names of tasks as a tree: "main/train" is a part of "main"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from rain.client.live.standing import SessionStanding, added
from rain.protocol.feed import GroupNews

#: More rows are not shown, unless they are asked for: names are told less deep, then the last ones together.
MAX_ROWS = 16


class Row(NamedTuple):
    """One line of a view."""

    #: How deep it is in the tree, from 0.
    depth: int
    #: The last part of the name.
    label: str
    group: GroupNews


@dataclass(slots=True)
class _Node:
    groups: list[GroupNews] = field(default_factory=list)
    parts: dict[str, _Node] = field(default_factory=dict)


def rows(standing: SessionStanding, *, begin: str = "", most: int | None = MAX_ROWS) -> list[Row]:
    """What is to be shown of the names that begin so, in the order in which they came."""
    root = _Node()
    others = []
    for name, group in standing.groups.items():
        if name is None:
            others.append(Row(0, "other names", group))
        elif name.startswith(begin):
            node = root
            for part in name.split("/"):
                node = node.parts.setdefault(part, _Node())
            node.groups.append(group)
    shown = list(_walk(root, 0, 64))
    if most is not None:
        deepest = max((row.depth for row in shown), default=0)
        while len(shown) > most and deepest:
            deepest -= 1
            shown = list(_walk(root, 0, deepest))
    shown += others if not begin else []
    if most is not None and len(shown) > most:
        rest = shown[most - 1 :]
        shown[most - 1 :] = [Row(0, f"{len(rest):,} more names", added(None, [row.group for row in rest]))]
    return shown


def _walk(node: _Node, depth: int, deepest: int) -> Iterator[Row]:
    for first, part in node.parts.items():
        label, below = first, part
        # A single way down is one line.
        while len(below.parts) == 1 and not below.groups:
            [(name, below)] = below.parts.items()
            label = f"{label}/{name}"
        yield Row(depth, label, added(label, _all(below)))
        if depth < deepest:
            yield from _walk(below, depth + 1, deepest)


def _all(node: _Node) -> Iterable[GroupNews]:
    yield from node.groups
    for part in node.parts.values():
        yield from _all(part)
