"""How far tasks say they are, and what their earlier attempts said: kept by the server, sparse and bounded."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from rain.core.failure import Cause, Failure
from rain.core.note import TaskNote, TaskProgress
from rain.protocol.client import RequestFailed, SessionFailed
from rain.protocol.columns import pack
from rain.protocol.queries import QueryTasks, TaskNews
from rain.protocol.shown import TaskInfo
from rain.protocol.worker import Failed, TasksProgressed
from rain.server.machine import attachments
from rain.server.machine.attempts import MAX_LISTED, MAX_PAST_ATTEMPTS
from rain.server.machine.snapshot import session_info
from rain.server.machine.why import explain
from tests.unit.server.machine.bench import BOOM, Bench, spec


def info_of(bench: Bench, task: int = 0) -> TaskInfo:
    bench.ignore()
    bench.client_says(QueryTasks(90, 1, pack("I", [task])))
    news = bench.answer(TaskNews)
    assert isinstance(news, TaskNews)
    return news.tasks[0]


def progress_of(bench: Bench, task: int = 0) -> TaskProgress | None:
    note = info_of(bench, task).note
    return None if note is None else note.progress


def says(bench: Bench, worker: int, fraction: float, *, task: int = 0, attempt: int = 0, text: str = "") -> None:
    word = TasksProgressed(1, pack("I", [task]), pack("I", [attempt]), (TaskProgress(fraction, text),))
    bench.worker_says(worker, word)


def started(**how: int) -> tuple[Bench, int]:
    """A bench on which the worker runs task 0."""
    bench = Bench(fail_fast=False)
    worker = bench.worker_joins()
    bench.task(spec=spec(**how), keep=True)
    bench.submit()
    return bench, worker


def test_a_running_task_shows_its_last_word() -> None:
    bench, worker = started()
    assert progress_of(bench) is None
    says(bench, worker, 0.1)
    says(bench, worker, 0.2, text="so far")
    assert progress_of(bench) == TaskProgress(0.2, "so far")
    assert session_info(bench.session).progress == ((0, TaskProgress(0.2, "so far")),)
    assert "progress: 20.0%, so far" in explain(bench.machine.state, bench.session, 0)
    bench.worker_says(worker, replace(bench.done([0]), notes=((0, TaskNote(progress=TaskProgress(1.0))),)))
    assert progress_of(bench) == TaskProgress(1.0)
    assert session_info(bench.session).progress == ()
    assert bench.session.attached.progress == {}


def test_a_report_without_a_word_leaves_the_last_one() -> None:
    bench, worker = started()
    says(bench, worker, 0.1)
    bench.worker_says(worker, bench.done([0]))
    assert progress_of(bench) == TaskProgress(0.1)
    assert bench.session.attached.progress == {}


def test_words_that_nobody_expects_are_ignored() -> None:
    bench, worker = started(retries=1)
    other = bench.worker_joins()
    says(bench, other, 0.1)
    says(bench, worker, 0.1, attempt=1)
    says(bench, worker, 0.1, task=7)
    assert progress_of(bench) is None
    bench.fails(worker, 0)
    says(bench, worker, 0.1, attempt=0)
    assert progress_of(bench) is None
    bench.finishes(bench.session.tasks.worker[0], 0)
    says(bench, worker, 0.1, attempt=1)
    assert progress_of(bench) is None


def test_a_new_attempt_begins_without_a_word_and_the_old_one_keeps_its_own() -> None:
    bench, worker = started(retries=1)
    says(bench, worker, 0.7)
    bench.fails(worker, 0)
    assert progress_of(bench) is None
    [past] = info_of(bench).attempts
    assert (past.attempt, past.worker, past.error) == (0, worker, "boom")
    assert past.note == TaskNote(progress=TaskProgress(0.7))


def test_what_a_lost_worker_said_is_of_no_attempt_that_runs() -> None:
    bench, worker = started()
    says(bench, worker, 0.7)
    bench.worker_leaves(worker)
    bench.worker_joins()
    assert progress_of(bench) is None
    assert session_info(bench.session).progress == ()


def test_a_cancelled_task_shows_how_far_it_was() -> None:
    bench, worker = started()
    says(bench, worker, 0.7)
    bench.cancels(0)
    says(bench, worker, 0.8)
    assert progress_of(bench) == TaskProgress(0.7)


def test_columns_that_contradict_one_another_end_the_worker() -> None:
    bench, worker = started()
    bench.worker_says(worker, TasksProgressed(1, pack("I", [0, 0]), pack("I", [0]), (TaskProgress(0.1),)))
    assert worker not in bench.machine.state.workers


def test_a_few_of_many_are_listed() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=MAX_LISTED + 5)
    bench.tasks(MAX_LISTED + 5)
    bench.submit()
    for task in range(MAX_LISTED + 5):
        says(bench, worker, 0.1, task=task)
    assert len(session_info(bench.session).progress) == MAX_LISTED


def test_attempts_are_remembered_in_order_and_not_for_ever() -> None:
    bench, worker = started(retries=100)
    for attempt in range(MAX_PAST_ATTEMPTS + 3):
        bench.worker_says(worker, Failed(1, 0, attempt, BOOM, TaskNote(stdout=str(attempt)), 7))
    past = info_of(bench).attempts
    assert [each.attempt for each in past] == list(range(3, MAX_PAST_ATTEMPTS + 3))
    assert [each.note for each in past] == [TaskNote(stdout=str(each.attempt)) for each in past]
    assert {each.duration_us for each in past} == {7}


def test_an_attempt_whose_results_were_lost_keeps_what_it_said() -> None:
    bench, worker = started()
    bench.worker_says(worker, replace(bench.done([0]), notes=((0, TaskNote(stdout="first")),)))
    bench.worker_leaves(worker)
    [past] = info_of(bench).attempts
    assert (past.attempt, past.worker, past.error, past.note) == (0, worker, None, TaskNote(stdout="first"))
    assert info_of(bench).note is None


def test_beyond_the_limit_it_is_said_that_something_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, worker = started(retries=2)
    monkeypatch.setattr(attachments, "MAX_NOTES_BYTES", 1200)
    bench.worker_says(worker, Failed(1, 0, 0, BOOM, TaskNote(stdout="x" * 5000)))
    [past] = info_of(bench).attempts
    assert past.note == attachments.LEFT_OUT
    says(bench, worker, 0.1, attempt=1, text="x" * 5000)
    assert progress_of(bench) is None
    monkeypatch.setattr(attachments, "MAX_NOTES_BYTES", 0)
    bench.worker_says(worker, Failed(1, 0, 1, BOOM, TaskNote(stdout="y")))
    assert info_of(bench).attempts == (past,)


def test_who_waits_for_a_failed_task_is_told_all_that_is_known_of_it() -> None:
    bench, worker = started()
    bench.waits(0)
    note = TaskNote(stdout="o", stderr="e")
    bench.worker_says(worker, Failed(1, 0, 0, BOOM, note, 7))
    answer = bench.answer(RequestFailed)
    assert isinstance(answer, RequestFailed)
    assert answer.failure == BOOM
    assert answer.info is not None
    assert (answer.info.state, answer.info.note, answer.info.duration_us) == ("failed", note, 7)
    assert answer.info.failure is None


def test_a_failed_session_tells_the_states_of_its_tasks() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=2)
    bench.task(keep=True)
    made = bench.task()
    bench.task(made.out)
    bench.task()
    bench.submit()
    bench.finishes(worker, 0)
    bench.ignore()
    bench.worker_says(worker, Failed(1, 1, 0, Failure(cause=Cause.TASK, message="no"), TaskNote(stdout="o")))
    told = bench.answer(SessionFailed)
    assert isinstance(told, SessionFailed)
    assert bytes(told.states) == bytes([2, 3, 4, 4])
    assert told.info is not None
    assert told.info.note == TaskNote(stdout="o")
