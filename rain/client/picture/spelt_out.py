"""Few tasks as a picture with a node for each of them, and for each data object that they read or make."""

from __future__ import annotations

from collections import Counter

from rain.client.graph import KEPT
from rain.client.picture.parts import Edge, Node, Picture, Shape
from rain.client.picture.selection import Selection
from rain.client.picture.shape import GraphShape, Moment
from rain.client.records import FINISHED, TASK_STATES
from rain.core.ids import object_name, task_name


def objects_of(shape: GraphShape, selection: Selection) -> list[int]:
    """What these tasks read and make, ascending."""
    objects: set[int] = set()
    for task in selection.tasks:
        objects.update(shape.inputs_of(task), shape.outputs_of(task))
    return sorted(objects)


def spelt_out(shape: GraphShape, moment: Moment, selection: Selection) -> Picture:
    """A node for each of these tasks and for what they read and make."""
    nodes = [_task_node(shape, moment, task) for task in selection.tasks]
    nodes += [_object_node(shape, moment, obj) for obj in objects_of(shape, selection)]
    edges = []
    for task in selection.tasks:
        edges += [Edge(f"o{obj}", f"t{task}", count) for obj, count in Counter(shape.inputs_of(task)).items()]
        edges += [Edge(f"t{task}", f"o{obj}") for obj in shape.outputs_of(task)]
    return Picture(_caption(selection), tuple(nodes), tuple(edges))


def only_tasks(shape: GraphShape, moment: Moment, selection: Selection) -> Picture:
    """A node for each of these tasks, and how data go between them."""
    drawn = set(selection.tasks)
    with_kept = {shape.producer[obj] for obj in moment.kept()}
    nodes = [_task_node(shape, moment, task, is_kept=task in with_kept) for task in selection.tasks]
    edges = []
    for task in selection.tasks:
        makers = Counter(shape.producer[obj] for obj in shape.inputs_of(task))
        edges += [Edge(f"t{maker}", f"t{task}", count) for maker, count in makers.items() if maker in drawn]
    return Picture(f"{_caption(selection)}, without their data", tuple(nodes), tuple(edges))


def _caption(selection: Selection) -> str:
    n_tasks = len(selection.tasks)
    return " ".join(filter(None, (f"{n_tasks:,} {'task' if n_tasks == 1 else 'tasks'}", selection.told)))


def _task_node(shape: GraphShape, moment: Moment, task: int, *, is_kept: bool = False) -> Node:
    return Node(
        key=f"t{task}",
        shape=Shape.TASK,
        title=shape.names[shape.spec[task]],
        detail=task_name(shape.session, task),
        states={TASK_STATES[moment.task_states[task]]: 1},
        is_kept=is_kept,
    )


def _object_node(shape: GraphShape, moment: Moment, obj: int) -> Node:
    is_constant = not shape.is_output[obj]
    return Node(
        key=f"o{obj}",
        shape=Shape.CONSTANT if is_constant else Shape.OBJECT,
        title=shape.label_of(obj) or "",
        detail=object_name(shape.session, obj),
        states={} if is_constant else {_object_state(shape, moment, obj): 1},
        is_kept=bool(moment.object_flags[obj] & KEPT),
    )


def _object_state(shape: GraphShape, moment: Moment, obj: int) -> str | None:
    if obj in moment.object_states:
        return moment.object_states[obj]
    state = moment.task_states[shape.producer[obj]]
    if not state:
        return None
    return "finished" if state == FINISHED else "unfinished"
