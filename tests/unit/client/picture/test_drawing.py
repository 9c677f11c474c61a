"""What is drawn of a graph, and in how much detail; without a server, and without Graphviz."""

from __future__ import annotations

import pytest

from rain.client import RainException, Session, Task, blob, function
from rain.client.picture.collapse import OTHERS
from rain.client.picture.parts import Picture, Shape
from rain.client.picture.selection import Centre
from rain.client.records import FAILED, FINISHED


@function
def one(value: object) -> object:
    return value


@function
def two(*values: object) -> object:
    return values


def picture(session: Session, **options: object) -> Picture:
    settings = {"centre": None, "depth": 2, "group": None, "collapse": None, "limit": 150} | options
    return session._drawing.picture(**settings)  # type: ignore[arg-type]


def titles(drawn: Picture) -> list[str]:
    return [node.title for node in drawn.nodes]


@pytest.fixture
def session() -> Session:
    return Session(None, 1)


def test_a_small_graph_is_spelt_out(session: Session) -> None:
    with session.bind_only():
        text = blob("a", label="text")
        made = Task([text, text], ["x"], task_type="t", name="make").keep_outputs()
    drawn = picture(session)
    assert [(node.key, node.shape, node.title, node.is_kept) for node in drawn.nodes] == [
        ("t0", Shape.TASK, "make", False),
        ("o0", Shape.CONSTANT, "text", False),
        ("o1", Shape.OBJECT, "x", True),
    ]
    assert [(edge.tail, edge.head, edge.count) for edge in drawn.edges] == [("o0", "t0", 2), ("t0", "o1", 1)]
    assert (drawn.caption, made.id) == ("1 task", "s1.t0")


def test_more_nodes_than_the_limit_are_tasks_alone_then_groups(session: Session) -> None:
    with session.bind_only():
        two(*[one(number) for number in range(9)]).keep_outputs()
    assert len(picture(session, limit=20).nodes) == 20
    tasks = picture(session, limit=19)
    assert {node.shape for node in tasks.nodes} == {Shape.TASK}
    assert [node.is_kept for node in tasks.nodes] == [False] * 9 + [True]
    groups = picture(session, limit=9)
    assert [(node.title, node.count, node.is_kept) for node in groups.nodes] == [("one", 9, False), ("two", 1, True)]
    assert [(edge.tail, edge.head, edge.count) for edge in groups.edges] == [("g0", "g1", 9)]
    assert len(picture(session, limit=9, collapse=False).nodes) == 20
    assert len(picture(session, collapse=True).nodes) == 2


def test_groups_are_by_layer_then_by_name_then_by_beginnings(session: Session) -> None:
    with session.bind_only():
        for name in ("prep/a", "prep/b", "main/a"):
            last: object = 0
            for _ in range(3):
                last = one(last, name=name)
    by_layer = picture(session, collapse=True, limit=9)
    assert [(node.title, node.detail) for node in by_layer.nodes][:4] == [
        ("prep/a", "layer 0"),
        ("prep/b", "layer 0"),
        ("main/a", "layer 0"),
        ("prep/a", "layer 1"),
    ]
    assert titles(picture(session, collapse=True, limit=8)) == ["prep/a", "prep/b", "main/a"]
    by_beginning = picture(session, collapse=True, limit=2)
    assert [(node.title, node.detail, node.count) for node in by_beginning.nodes] == [
        ("prep", "2 names", 6),
        ("main", "", 3),
    ]
    assert by_beginning.caption == "9 tasks, by the beginnings of names"


def test_many_distinct_names_become_the_largest_and_the_others(session: Session) -> None:
    with session.bind_only():
        for number in range(300):
            one(number, name=f"n{number}")
        for number in range(5):
            one(number, name="often")
    drawn = picture(session, limit=10)
    assert len(drawn.nodes) == 10
    assert {"often", OTHERS} <= set(titles(drawn))
    assert sum(node.count for node in drawn.nodes) == 305


def test_a_group_is_drawn_alone(session: Session) -> None:
    with session.bind_only():
        first = one(1, name="main/load")
        two(one(first, name="main/train"), one(2, name="mainly"), name="other")
    drawn = picture(session, group="main")
    assert titles(drawn)[:2] == ["main/load", "main/train"]
    assert drawn.caption == "2 tasks of main"
    assert titles(picture(session, group="main", collapse=True)) == ["main/load", "main/train"]
    with pytest.raises(RainException, match=r"no task's name begins with 'none'; there are: main, mainly, other"):
        picture(session, group="none")


def test_a_part_is_drawn_around_a_task(session: Session) -> None:
    with session.bind_only():
        last: object = blob("x")
        for number in range(9):
            last = one(last, name=f"n{number}")
    assert titles(picture(session, centre=Centre([4]), depth=1))[:3] == ["n3", "n4", "n5"]
    assert titles(picture(session, centre=Centre([], [0]), depth=0))[:1] == ["n0"]
    with pytest.raises(RainException, match="exclude one another"):
        picture(session, centre=Centre([4]), group="n")


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": True}, {"depth": -1}, {"depth": 1.5}, {"group": "/"}])
def test_what_cannot_be_meant_is_refused(session: Session, wrong: dict[str, object]) -> None:
    [name] = wrong
    with pytest.raises(RainException, match=f"{name}: expected"):
        picture(session, **wrong)


def test_states_are_counted_per_group(session: Session) -> None:
    with session.bind_only():
        one.map(range(10))
    session._graph.task_states.extend([FINISHED] * 6 + [FAILED])
    [node] = picture(session, collapse=True).nodes
    assert dict(node.states) == {"finished": 6, "failed": 1, None: 3}


def test_a_graph_of_nothing_is_drawn(session: Session) -> None:
    assert picture(session).caption == "0 tasks"
    assert picture(session, collapse=True).nodes == ()


def test_drawing_again_groups_nothing_again(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    with session.bind_only():
        one.map(range(200))
    before = picture(session)
    monkeypatch.setattr("rain.client.picture.drawing.grouped", None)
    assert picture(session) == before
