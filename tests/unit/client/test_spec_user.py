"""What users attach to tasks and objects before the submit, and how it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import pytest

from rain.client import RainException, Session, blob, remote, submission, tasks
from rain.client.records import ObjectRecord, TaskRecord
from rain.client.submission import parts
from rain.core.note import TaskNote
from rain.protocol.client import Submit
from rain.protocol.shown import ObjectInfo, TaskInfo


@pytest.fixture
def session() -> Iterator[Session]:
    with Session(None, 1) as opened:
        yield opened
        opened._graph.order()


def sent(session: Session) -> list[Submit]:
    order = session._graph.order()
    assert order is not None
    found = list(parts(order))
    session._graph.submitted(order)
    return found


def test_what_is_attached_is_sent_with_the_submit_and_shown_after_it(session: Session) -> None:
    data = blob("x")
    plain, task = tasks.concat(data), tasks.concat(data)
    task.spec.user["a"] = [1, {"b": None}]
    data.spec.user = {"source": "here"}
    [part] = sent(session)
    assert part.task_users == ((1, b'{"a":[1,{"b":null}]}'),)
    assert part.object_users == ((0, b'{"source":"here"}'),)
    assert (task.spec.user, data.spec.user, plain.spec.user) == ({"a": [1, {"b": None}]}, {"source": "here"}, {})


def test_after_the_submit_nothing_can_be_attached(session: Session) -> None:
    task = tasks.concat()
    plan = task.spec
    sent(session)
    plan.user["late"] = task.spec.user["late"] = True
    assert task.spec.user == {}
    tasks.concat()
    [part] = sent(session)
    assert part.task_users == ()


@pytest.mark.parametrize("what", ["task", "object"])
def test_what_is_no_json_is_refused_at_the_submit_and_changes_nothing(session: Session, what: str) -> None:
    task = tasks.concat()
    item = task if what == "task" else task.output
    item.spec.user["a"] = {"b": {1}}
    task.spec.resources["cpus"] = 2
    with pytest.raises(RainException, match=rf"{item.id}.spec.user\['a'\]\['b'\]: expected .*, found set"):
        session._graph.order()
    assert task._spec.request.cpus == 10_000
    item.spec.user["a"] = "mended"
    [part] = sent(session)
    assert (part.task_users or part.object_users)[0][1] == b'{"a":"mended"}'
    assert task._spec.request.cpus == 20_000


def test_much_that_is_attached_goes_in_parts_of_its_own(session: Session) -> None:
    made = [tasks.concat() for _ in range(5)]
    for task in made:
        task.spec.user["x"] = "y" * 50
    with mock.patch.object(submission, "_MAX_USERS_BYTES", 160):
        found = sent(session)
    assert [len(part.task_users) for part in found] == [2, 2, 1]
    assert [part.n_tasks for part in found] == [0, 0, 5]
    assert [part.last for part in found] == [False, False, True]
    assert [task for part in found for task, _ in part.task_users] == [0, 1, 2, 3, 4]


def test_a_plan_names_what_the_task_reads_and_makes(session: Session) -> None:
    @remote(outputs=("a", "b"))
    def split(ctx, x):  # type: ignore[no-untyped-def]
        return b"", b""

    data = blob("x")
    task = split(data)
    assert task.spec.inputs == (data.id,)
    assert [output.label for output in task.spec.outputs] == ["a", "b"]
    assert "user={}" in repr(task.spec)


def test_elements_of_an_array_can_have_something_attached(session: Session) -> None:
    @remote()
    def double(ctx, x):  # type: ignore[no-untyped-def]
        return b""

    array = double.map([1, 2, 3])
    array[1].spec.user["n"] = 2
    array.output[2].spec.user["n"] = 3
    [part] = sent(session)
    assert part.task_users == ((1, b'{"n":2}'),)
    assert part.object_users == ((2, b'{"n":3}'),)


def test_a_record_shows_what_the_server_said() -> None:
    note = TaskNote("d", b'{"n":1}', "out", "err")
    record = TaskRecord(TaskInfo("finished", 1, 0, 10, 0.0, None, note))
    assert (record.debug, record.user, record.stdout, record.stderr) == ("d", {"n": 1}, "out", "err")
    shown = ObjectRecord.of(ObjectInfo("removed", None, None, b"no json", "boom", "d"))
    assert (shown.user, shown.error, shown.debug) == ({}, "boom", "d")


def test_before_an_update_nothing_is_known_of_what_a_task_printed(session: Session) -> None:
    task = tasks.concat()
    assert (task.stdout, task.stderr, task.info) == (None, None, None)
