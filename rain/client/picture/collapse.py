"""A graph of any size as a picture of few nodes: tasks of one name and layer are one node, then of one name, then less.

The columns are gone through by loops of the interpreter's own (`map`, `zip`, `Counter`), so a million tasks take less
than a second.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, repeat

from rain.client.picture.parts import Edge, Node, Picture, Shape
from rain.client.picture.selection import LEVEL, Selection
from rain.client.picture.shape import GraphShape, Moment
from rain.client.records import TASK_STATES

#: What does not get a node of its own is in this one.
OTHERS = "other names"
#: Deeper names are cut here.
MAX_LEVELS = 8


def collapsed(shape: GraphShape, moment: Moment, selection: Selection, grouping: Grouping) -> Picture:
    """The tasks of the selection as these groups."""
    groups, titles = grouping.groups, grouping.titles
    states = Counter(zip(groups, map(moment.task_states.__getitem__, selection.tasks), strict=True))
    by_group: list[dict[str | None, int]] = [{} for _ in titles]
    for (group, state), count in sorted(states.items()):
        by_group[group][TASK_STATES[state]] = count
    kept = {grouping.group_of_task[shape.producer[obj]] for obj in moment.kept()}
    nodes = tuple(
        Node(f"g{group}", Shape.GROUP, title, detail, by_group[group], group in kept)
        for group, (title, detail) in enumerate(titles)
    )
    n_tasks = len(selection.tasks)
    words = (f"{n_tasks:,} {'task' if n_tasks == 1 else 'tasks'}", selection.told)
    return Picture(f"{' '.join(filter(None, words))}, {grouping.told}", nodes, grouping.edges)


@dataclass(frozen=True)
class Grouping:
    """What does not change while tasks run."""

    #: Per task of the selection: the number of its group.
    groups: array[int]
    #: Per task of the session, constants' row last: its group, `len(titles)` where it is not drawn.
    group_of_task: array[int]
    #: Per group: what it is called, and in detail.
    titles: list[tuple[str, str]]
    edges: tuple[Edge, ...]
    #: How they were made.
    told: str


def grouped(shape: GraphShape, selection: Selection, limit: int) -> Grouping:
    """At most `limit` groups."""
    groups, titles, told = _groups(shape, selection, limit)
    outside = len(titles)
    group_of_task = array("I", (outside,)) * (shape.n_tasks + 1)
    if selection.is_everything:
        group_of_task[: len(groups)] = groups
    else:
        for task, group in zip(selection.tasks, groups, strict=True):
            group_of_task[task] = group
    return Grouping(groups, group_of_task, titles, _edges(shape, group_of_task, outside), told)


def _groups(shape: GraphShape, selection: Selection, limit: int) -> tuple[array[int], list[tuple[str, str]], str]:
    """Per task the number of its group; what groups are called, in detail, too; and how they were made."""
    names = shape.names
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    name_of_spec = [numbers[name] for name in names]
    by_name = array("I", map(name_of_spec.__getitem__, selection.of(shape.spec)))
    all_names = list(numbers)
    layers = selection.of(shape.layers)
    # By one number and the other: pairs of a million rows are costly.
    width = len(all_names)
    both = array("Q", [name + layer * width for name, layer in zip(by_name, layers, strict=True)])
    if len(distinct := set(both)) <= limit:
        found = sorted(distinct)
        n_layers = Counter(each % width for each in found)
        titles = [
            (all_names[each % width], f"layer {each // width}" if n_layers[each % width] > 1 else "") for each in found
        ]
        return _numbered(both, found), titles, "by name and layer"
    used = sorted(set(by_name))
    if len(used) <= limit:
        return _numbered(by_name, used), [(all_names[each], "") for each in used], "by name"
    return _by_levels(by_name, [all_names[each] for each in used], used, limit)


def _by_levels(
    by_name: array[int], names: list[str], used: list[int], limit: int
) -> tuple[array[int], list[tuple[str, str]], str]:
    """Too many names: their first levels, as many as go; where even the first ones are too many, the largest."""
    for n_levels in range(min(MAX_LEVELS, max(name.count(LEVEL) for name in names)), 0, -1):
        titles = [LEVEL.join(name.split(LEVEL)[:n_levels]) for name in names]
        found = list(dict.fromkeys(titles))
        if len(found) <= limit:
            break
    else:
        # Their first levels are too many, or they have none.
        titles, found = [name.split(LEVEL)[0] for name in names], []
    sizes = Counter(by_name)
    if not found:
        of_title: Counter[str] = Counter()
        for number, title in zip(used, titles, strict=True):
            of_title[title] += sizes[number]
        found = [title for title, _ in of_title.most_common(limit - 1)]
        own = set(found)
        titles = [title if title in own else OTHERS for title in titles]
        found = list(dict.fromkeys([*found, OTHERS]))
    place = {title: number for number, title in enumerate(found)}
    group_of_name = {number: place[title] for number, title in zip(used, titles, strict=True)}
    n_names = Counter(titles)
    details = [(title, "" if n_names[title] == 1 else f"{n_names[title]:,} names") for title in found]
    return array("I", map(group_of_name.__getitem__, by_name)), details, "by the beginnings of names"


def _numbered(keys: Iterable[int], found: list[int]) -> array[int]:
    place = {key: number for number, key in enumerate(found)}
    return array("I", map(place.__getitem__, keys))


def _edges(shape: GraphShape, group_of_task: array[int], outside: int) -> tuple[Edge, ...]:
    """How data go between the groups."""
    group_of_object = array("I", map(group_of_task.__getitem__, shape.producer))
    tails = map(group_of_object.__getitem__, shape.inputs)
    heads = chain.from_iterable(map(repeat, group_of_task, shape.n_inputs))
    counts = Counter(zip(tails, heads, strict=True))
    return tuple(
        Edge(f"g{tail}", f"g{head}", count)
        for (tail, head), count in sorted(counts.items())
        if outside not in (tail, head)
    )
