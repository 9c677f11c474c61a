"""Columns of a graph, and what follows from them."""

from __future__ import annotations

from array import array

from rain.client import Session, Task, blob
from rain.client.picture.shape import GraphShape
from rain.core.errors import RainException


def shape_of(session: Session) -> GraphShape:
    return session._drawing.known.look(0)[0]


def diamond() -> tuple[Session, list[Task]]:
    session = Session(None, 1)
    with session.bind_only():
        first = Task([blob("a")], ["x", "y"], task_type="t", name="first")
        nothing = Task([], 0, task_type="t", name="nothing")
        left = Task([first.outputs["x"]], task_type="t", name="left")
        right = Task([first.outputs["y"], blob("b")], task_type="t", name="right")
        last = Task([left, right, left], task_type="t", name="last")
    return session, [first, nothing, left, right, last]


def test_outputs_and_their_makers_are_found_from_the_flags_of_objects() -> None:
    session, tasks = diamond()
    shape = shape_of(session)
    assert [shape.first_output[task._number] for task in tasks if len(task.outputs)] == [
        task._first_output for task in tasks if len(task.outputs)
    ]
    makers = {obj._number: task._number for task in tasks for obj in task.outputs}
    assert list(shape.producer) == [makers.get(obj, shape.n_tasks) for obj in range(shape.n_objects)]
    assert [list(shape.inputs_of(task._number)) for task in tasks] == [
        [obj._number for obj in task.inputs] for task in tasks
    ]


def test_layers_are_longest_paths_in_tasks() -> None:
    assert list(shape_of(diamond()[0]).layers) == [0, 0, 1, 1, 2]


def test_labels_of_outputs_and_constants_are_known() -> None:
    session, tasks = diamond()
    shape = shape_of(session)
    assert shape.label_of(tasks[0]._first_output) == "x"
    assert shape.label_of(tasks[0].inputs[0]._number) == "const"


def test_a_neighbourhood_goes_in_both_directions() -> None:
    shape = shape_of(diamond()[0])
    assert shape.neighbourhood([2], 0) == {2}
    assert shape.neighbourhood([2], 1) == {0, 2, 4}
    assert shape.neighbourhood([2], 9) == {0, 2, 3, 4}


def test_what_depends_on_a_task_is_found_in_one_pass() -> None:
    shape = shape_of(diamond()[0])
    assert shape.descendants(0) == {2, 3, 4}
    assert shape.descendants(1) == set()


def test_a_graph_without_tasks_has_a_shape() -> None:
    shape = shape_of(Session(None, 1))
    assert (shape.n_tasks, list(shape.layers), list(shape.producer), shape.readers_of({0})) == (0, [], [], set())
    assert shape.input_start == array("I", (0,))


def test_a_shape_is_made_anew_only_when_something_was_built() -> None:
    session, _ = diamond()
    before = shape_of(session)
    assert shape_of(session) is before
    with session.bind_only():
        Task([], task_type="t")
    assert shape_of(session).n_tasks == before.n_tasks + 1
    try:
        session.submit()
    except RainException:
        assert shape_of(session).n_tasks == before.n_tasks + 1
