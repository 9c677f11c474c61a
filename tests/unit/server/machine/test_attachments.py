"""What users attach and what tasks say, kept by the server: sparse, bounded, and gone with the session."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from rain.core.note import TaskNote
from rain.protocol.client import Locate, Located, SessionFailed
from rain.protocol.columns import pack
from rain.protocol.queries import ObjectNews, QueryObjects, QueryTasks, TaskNews
from rain.protocol.worker import Failed
from rain.server.machine import attachments
from rain.server.machine.effects import SendLocated
from tests.unit.server.machine.bench import BOOM, Bench, spec


def note_of(bench: Bench, task: int) -> TaskNote | None:
    bench.ignore()
    bench.client_says(QueryTasks(90, 1, pack("I", [task])))
    news = bench.answer(TaskNews)
    assert isinstance(news, TaskNews)
    return news.tasks[0].note


def says(bench: Bench, worker: int, task: int, note: TaskNote | None) -> None:
    """The worker reports the task with this note."""
    done = bench.done([task])
    bench.worker_says(worker, done if note is None else replace(done, notes=((0, note),)))


def test_what_a_task_says_is_shown_and_counts() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=2)
    bench.tasks(2, keep=True)
    bench.submit()
    note = TaskNote(debug="d", user=b"{}", stdout="o", stderr="e")
    bench.worker_says(worker, replace(bench.done([0, 1]), notes=((1, note),)))
    assert [note_of(bench, 0), note_of(bench, 1)] == [None, note]


def test_what_comes_with_a_submit_goes_to_the_workers_of_its_tasks_and_readers() -> None:
    bench = Bench()
    bench.worker_joins(cpus=4)
    constant = bench.constant()
    bench.tasks(1)
    reader = bench.task(constant)
    part = bench.part(last=True)
    bench.client_says(replace(part, task_users=((reader.task, b"t"),), object_users=((constant, b"o"),)))
    (sent,) = bench.computes()
    assert sent.compute.task_users == ((list(bytes(sent.compute.task)[::4]).index(reader.task), b"t"),)
    assert sent.compute.object_users == ((constant, b"o", b""),)


def test_what_a_task_attached_to_its_output_goes_to_readers_and_to_who_asks() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=1)
    made = bench.task(spec=spec(2), keep=True)
    reader = bench.task(made.outputs[1])
    bench.submit()
    bench.ignore()
    bench.worker_says(worker, replace(bench.done([made.task]), object_users=((1, b"info"),)))
    (sent,) = bench.computes()
    assert sent.compute.object_users == ((made.outputs[1], b"", b"info"),)
    bench.client_says(QueryObjects(91, 1, pack("I", made.outputs)), Locate(92, 1, pack("I", made.outputs)))
    news = bench.answer(ObjectNews)
    assert isinstance(news, ObjectNews)
    assert [info.user for info in news.objects] == [b"", b"info"]
    (located,) = [effect.located for effect in bench.effects if isinstance(effect, SendLocated)]
    assert isinstance(located, Located)
    assert located.users == ((1, b"info"),)
    assert reader.task == 1


def test_the_note_of_the_last_attempt_is_shown() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    bench.task(spec=spec(retries=2), keep=True)
    bench.submit()
    bench.worker_says(worker, Failed(1, 0, 0, BOOM, TaskNote(stdout="first")))
    assert note_of(bench, 0) is None
    bench.worker_says(worker, Failed(1, 0, 1, BOOM, TaskNote(stdout="second")))
    assert note_of(bench, 0) is None
    says(bench, worker, 0, TaskNote(stdout="third"))
    assert note_of(bench, 0) == TaskNote(stdout="third")


def test_a_silent_last_attempt_leaves_nothing() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    bench.task(spec=spec(retries=2), keep=True)
    bench.submit()
    bench.worker_says(worker, Failed(1, 0, 0, BOOM, TaskNote(stdout="first")))
    says(bench, worker, 0, None)
    assert note_of(bench, 0) is None


def test_a_note_of_an_attempt_that_is_not_expected_is_ignored() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    bench.task(keep=True)
    bench.submit()
    stale = replace(bench.done([0], attempt=7), notes=((0, TaskNote(stdout="stale")),), object_users=((0, b"x"),))
    bench.worker_says(worker, stale)
    assert note_of(bench, 0) is None
    assert not bench.session.attached.object_infos


@pytest.mark.parametrize("field", ["notes", "object_users"])
def test_a_worker_that_attaches_to_what_it_does_not_report_is_dropped(field: str) -> None:
    bench = Bench()
    worker = bench.worker_joins()
    bench.task(keep=True)
    bench.submit()
    value = TaskNote(stdout="x") if field == "notes" else b"x"
    bench.worker_says(worker, replace(bench.done([0]), **{field: ((1, value),)}))
    assert worker not in bench.machine.state.workers


def test_of_more_than_is_kept_only_that_it_was_left_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MAX_NOTES_BYTES", 1000)
    bench = Bench()
    worker = bench.worker_joins(cpus=2)
    bench.tasks(2, keep=True)
    bench.submit()
    note = TaskNote(stdout="x" * 600)
    says(bench, worker, 0, note)
    says(bench, worker, 1, note)
    assert note_of(bench, 0) == note
    left_out = note_of(bench, 1)
    assert left_out is not None
    assert "left out: the tasks of this session have said more" in left_out.stdout


def test_an_answer_about_many_tasks_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MAX_NEWS_CHARACTERS", 1000)
    bench = Bench()
    worker = bench.worker_joins(cpus=2)
    bench.tasks(2, keep=True)
    bench.submit()
    for task in (0, 1):
        says(bench, worker, task, TaskNote(stdout="x" * 600))
    bench.ignore()
    bench.client_says(QueryTasks(90, 1, pack("I", [0, 1])))
    news = bench.answer(TaskNews)
    assert isinstance(news, TaskNews)
    assert ["left out of an answer" in info.note.stdout for info in news.tasks if info.note] == [False, True]


@pytest.mark.parametrize("users", [((9, b"x"),), ((0, bytes(65 << 20)),)], ids=["of no task", "too much"])
def test_a_submit_that_attaches_what_cannot_be_changes_nothing(users: tuple[tuple[int, bytes], ...]) -> None:
    bench = Bench()
    bench.tasks(1)
    bench.client_says(replace(bench.part(last=True), task_users=users))
    failed = bench.answer(SessionFailed)
    assert isinstance(failed, SessionFailed)
    assert "attache" in failed.reason
    assert not bench.session.tasks.stage


def test_an_object_says_why_it_was_never_made() -> None:
    bench = Bench(fail_fast=False)
    worker = bench.worker_joins()
    made = bench.task(keep=True)
    reader = bench.task(made.out, keep=True)
    bench.submit()
    bench.worker_says(worker, Failed(1, 0, 0, BOOM, TaskNote(debug="line")))
    bench.ignore()
    bench.client_says(QueryObjects(91, 1, pack("I", [made.out, reader.out])))
    news = bench.answer(ObjectNews)
    assert isinstance(news, ObjectNews)
    assert [(info.state, info.error, info.debug) for info in news.objects] == [
        ("unfinished", "boom", "line"),
        ("unfinished", "boom", ""),
    ]
