"""The task graph of what was submitted, read from the server."""

from __future__ import annotations

import pytest

from rain.client import Client, Session, TaskException, blob, function
from rain.client.failure_view import failure_html, failure_of
from rain.deploy.local import LocalCluster

pytest.importorskip("graphviz")

LIMIT_S = 20.0


@function
def one(*values: object) -> object:
    return values


@function
def fails(value: object) -> object:
    raise ValueError(f"no {value}")


def states(session: Session) -> dict[str, dict[str | None, int]]:
    return {node.key: dict(node.states) for node in session.graph().picture.nodes}


def test_a_graph_has_the_states_that_the_server_tells(session: Session) -> None:
    first = one(blob("x"))
    last = one(first, first, name="last").keep_outputs()
    assert states(session) == {"t0": {None: 1}, "t1": {None: 1}, "o0": {}, "o1": {None: 1}, "o2": {None: 1}}
    session.submit()
    session.wait_all(timeout=LIMIT_S)
    one(last, name="next")
    found = session.graph().picture
    assert states(session) == {
        "t0": {"finished": 1},
        "t1": {"finished": 1},
        "t2": {None: 1},
        "o0": {},
        "o1": {"removed": 1},
        "o2": {"finished": 1},
        "o3": {None: 1},
    }
    edges = {(edge.tail, edge.head, edge.count) for edge in found.edges}
    assert {("o0", "t0", 1), ("t0", "o1", 1), ("o1", "t1", 1), ("o2", "t2", 1)} <= edges
    assert "last" in session.graph(around=last, depth=0).source
    assert "next" not in session.graph(around=last, depth=0).source
    session.submit()


def test_what_tasks_read_is_asked_for_only_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    one.map(one.map(range(50)).output)
    session.submit()
    session.wait_all(timeout=LIMIT_S)
    assert session.graph(limit=10).picture.edges[0].count == 50
    known = session._drawing.known
    asked = []
    monkeypatch.setattr(type(known), "_add", lambda *page: asked.append(page))
    assert [dict(node.states) for node in session.graph(limit=10).picture.nodes] == [{"finished": 50}] * 2
    assert not asked


def test_a_drawing_changes_no_state_of_a_handle(session: Session) -> None:
    task = one(1).keep_outputs()
    session.submit()
    task.output.fetch(timeout=LIMIT_S)
    other = one(2)
    session.submit()
    while states(session)["t1"] != {"finished": 1}:
        pass
    assert other.state == "waiting"


def test_an_attached_session_is_drawn(cluster: LocalCluster, client: Client) -> None:
    with Client(access=cluster.access_path) as first, first.new_session("drawn", ttl=60).bind_only() as session:
        one(one(1, name="a"), name="b").keep_outputs()
        session.submit()
    with client.attach("drawn") as attached:
        attached.wait_all(timeout=LIMIT_S)
        picture = attached.graph().picture
        assert [node.title for node in picture.nodes][:2] == ["a", "b"]
        assert ("o0", "t1", 1) in {(edge.tail, edge.head, edge.count) for edge in picture.edges}


def test_a_closed_session_is_drawn_as_it_was_known(client: Client) -> None:
    with client.new_session() as session:
        one(one(1))
        session.submit()
        session.wait_all(timeout=LIMIT_S)
        before = session.graph().picture
    after = session.graph().picture
    assert after.edges == before.edges
    assert after.caption == "2 tasks (the session is closed: as far as it is known here)"
    assert session._repr_html_() is not None


def test_constants_keep_their_labels_when_they_are_submitted(session: Session) -> None:
    one(blob("x", label="letters"), blob("y"))

    def titles() -> dict[str, str]:
        return {node.key: node.title for node in session.graph().picture.nodes if node.key in {"o0", "o1"}}

    before = titles()
    assert before == {"o0": "letters", "o1": "const"}
    session.submit()
    assert titles() == before
    one(1)
    assert titles() == before
    session.submit()


def test_tasks_that_were_cancelled_before_are_not_counted_as_not_run_because_of_a_failure(client: Client) -> None:
    with client.new_session() as session:
        never = one(1, cpus=64)
        session.submit()
        session.cancel(never)
        bad = fails(1)
        one(bad)
        one(2, cpus=64)
        session.submit()
        error = failure_of_waiting(bad)
        assert isinstance(error, TaskException)
        assert error.not_run == 2


def test_a_failed_session_is_drawn(session: Session) -> None:
    bad = fails(1)
    one(bad)
    session.submit()
    error = failure_of_waiting(bad)
    assert "1 task did not run because of" in "\n".join(error._render_traceback_())
    assert states(session)["t0"] == {"failed": 1}
    assert session._repr_html_() is not None


def failure_of_waiting(task: object) -> Exception:
    with pytest.raises(Exception, match="no 1") as raised:
        task.wait(timeout=LIMIT_S)  # type: ignore[attr-defined]
    return raised.value


def test_a_cascade_shows_its_cause_once(client: Client) -> None:
    with client.new_session(fail_fast=False) as session:
        bad = fails(1, name="bad")
        last = one(*[one(bad) for _ in range(5)])
        good = one(1)
        session.submit()
        failure_of_waiting(last)
        error = failure_of(last, timeout=LIMIT_S)
        assert error is not None
        assert (error.task_id, error.not_run) == (bad.id, 6)
        assert "6 tasks did not run because of" in failure_html(error)
        good.wait(timeout=LIMIT_S)
        assert failure_of(good, timeout=LIMIT_S) is None


def test_a_client_and_its_server_are_shown(client: Client) -> None:
    assert "worker" in (client._repr_html_() or "")
    assert "w1" in client.get_server_info()._repr_html_()  # type: ignore[attr-defined]
