"""Attempts and tasks that fail, with and without fail_fast; waits and requests that end badly."""

from __future__ import annotations

import pytest

from rain.core.failure import Cause, Failure
from rain.protocol.client import CloseSession, RequestFailed, SessionFailed, Unwait, Wait, WaitDone
from rain.protocol.columns import EMPTY, pack
from rain.server.machine.stages import ASSIGNED, CANCELLED, FAILED, FINISHED, WAITING
from tests.unit.server.machine.bench import BOOM, Bench, numbers, spec


def test_fail_fast_stops_everything_and_tells_the_client_once() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=2)
    kept = bench.task(keep=True)
    bench.submit()
    bench.finishes(worker, kept.task, us=10_000_000)
    first, second = bench.task(), bench.task()
    bench.task(first.out)
    bench.submit()
    wait = bench.waits(everything=True)
    bench.ignore()
    bench.fails(worker, second.task)
    bench.expect(
        "w1 cancels t1.0",
        "s1 failed by t2",
        f"request {wait} failed by t2",
        "stash forgets t1 t2 t3",
        "4 done, 0 left",
    )
    assert bench.stages() == [FINISHED, CANCELLED, FAILED, CANCELLED]
    located = bench.locates(kept.out)
    bench.expect(f"request {located} located o0@w1")


def test_every_wait_on_a_failed_session_gets_the_same_failure_at_once() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    bench.task()
    bench.submit()
    bench.fails(worker, 0)
    bench.ignore()
    for _ in range(2):
        request = bench.waits(everything=True)
        answer = bench.answer(RequestFailed)
        assert isinstance(answer, RequestFailed)
        assert (answer.task, answer.worker, answer.failure) == (0, worker, BOOM)
        bench.expect(f"request {request} failed by t0")


def test_without_fail_fast_only_what_depends_on_the_failed_task_is_cancelled() -> None:
    bench = Bench(fail_fast=False)
    worker = bench.worker_joins(cpus=2)
    root, other = bench.task(), bench.task(keep=True)
    reader = bench.task(root.out)
    last = bench.task(reader.out)
    bench.submit()
    bench.ignore()
    one, every = bench.waits(last.task), bench.waits(everything=True)
    bench.fails(worker, root.task)
    bench.expect(f"request {one} failed by t0", "stash forgets t0 t2 t3")
    assert bench.stages() == [FAILED, ASSIGNED, CANCELLED, CANCELLED]
    bench.finishes(worker, other.task)
    bench.expect(f"request {every} failed by t0", "4 done, 0 left")
    request = bench.locates(last.out)
    bench.expect(f"request {request} failed by t0")
    request = bench.waits(other.task)
    bench.expect(f"request {request} is done")


def test_a_task_is_tried_again_as_often_as_its_spec_says() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    bench.task(spec=spec(retries=2), keep=True)
    bench.submit()
    for cause in (Cause.TASK, Cause.EXECUTOR):
        bench.ignore()
        bench.fails(worker, 0, Failure(cause=cause, message="boom"))
        bench.expect("w1 computes t0")
    bench.fails(worker, 0)
    bench.expect("s1 failed by t0", "stash forgets t0", "1 done, 0 left")
    assert bench.session.first_failure is not None
    assert bench.session.first_failure.attempt == 2


def test_a_report_of_an_old_attempt_is_ignored() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    bench.task(spec=spec(retries=1), keep=True)
    bench.submit()
    bench.fails(worker, 0)
    bench.ignore()
    bench.fails(worker, 0, attempt=0)
    bench.finishes(worker, 0, attempt=0)
    bench.expect_nothing()
    assert bench.stages() == [ASSIGNED]
    bench.finishes(worker, 0, attempt=1)
    bench.expect("1 done, 0 left")
    bench.finishes(worker, 0, attempt=1)
    bench.expect_nothing()


def test_reports_of_sessions_and_tasks_that_are_not_there_do_no_harm() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    bench.task()
    bench.submit()
    report = bench.done([0])
    bench.closes()
    bench.ignore()
    bench.worker_says(worker, report)
    bench.fails(worker, 0, attempt=0) if 1 in bench.machine.state.sessions else None
    bench.expect_nothing()


def test_an_input_that_was_lacking_too_often_fails_the_task() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    large = bench.constant(1 << 20, keep=True, inline=True)
    bench.task(large)
    bench.submit()
    for _ in range(5):
        bench.ignore()
        bench.lacks(worker, large, 0, 0)
        bench.expect("w1 computes t0")
    bench.lacks(worker, large, 0, 0)
    message = bench.answer(SessionFailed)
    assert isinstance(message, SessionFailed)
    assert message.failure is not None
    assert message.failure.cause is Cause.INPUT


def test_an_input_that_never_arrives_from_a_worker_that_is_there_is_not_made_for_ever() -> None:
    bench = Bench()
    maker = bench.worker_joins()
    made = bench.task()
    reader = bench.task(made.out, keep=True, spec=spec(cpus=2))
    narrow = bench.worker_joins(cpus=2)
    bench.submit()
    for _ in range(6):
        assert bench.session.failed_reason is None
        bench.finishes(maker, made.task)
        bench.lacks(narrow, made.out, maker, reader.task)
    message = bench.answer(SessionFailed)
    assert isinstance(message, SessionFailed)
    assert "could not be brought to w2" in message.reason


def test_waits_for_some_answer_with_what_is_finished() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=3)
    bench.tasks(3, keep=True)
    bench.submit()
    bench.ignore()
    request = bench.waits(2, 0, some=True)
    bench.finishes(worker, 1)
    bench.expect_nothing()
    bench.finishes(worker, 0)
    bench.expect(f"request {request} is done t0")
    request = bench.waits(2, 1, 0, some=True)
    bench.expect(f"request {request} is done t0 t1")


def test_waits_by_number_end_when_the_last_task_does() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=3)
    bench.tasks(3, keep=True)
    bench.submit()
    bench.ignore()
    request = bench.waits(2, 0, 0)
    bench.finishes(worker, 0)
    bench.expect_nothing()
    bench.finishes(worker, 2)
    bench.expect(f"request {request} is done")


def test_a_wait_for_everything_does_not_wait_for_later_submits() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=3)
    bench.task(keep=True)
    bench.submit()
    request = bench.waits(everything=True)
    bench.task(keep=True)
    bench.submit()
    bench.ignore()
    bench.finishes(worker, 0)
    bench.expect(f"request {request} is done")


def test_waiting_for_nothing_is_answered_at_once() -> None:
    bench = Bench()
    for request in (bench.waits(), bench.waits(everything=True), bench.waits(some=True)):
        assert f"request {request} is done" in [f"request {n} is done" for n in range(1, 4)]
    bench.expect("request 1 is done", "request 2 is done", "request 3 is done")


@pytest.mark.parametrize("number", [1, 0xFFFFFFFF])
def test_requests_that_name_what_was_not_submitted_fail(number: int) -> None:
    bench = Bench()
    bench.task()
    bench.submit()
    bench.ignore()
    wait, locate = bench.waits(number), bench.locates(number)
    bench.expect(f"request {wait} failed", f"request {locate} failed")


def test_requests_to_a_session_of_nobody_fail() -> None:
    bench = Bench()
    bench.client_says(Wait(5, 77, EMPTY, all_tasks=True), CloseSession(6, 77))
    bench.expect("request 5 failed", "request 6 is acknowledged")


def test_an_object_that_was_not_kept_cannot_be_located() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    made = bench.task(spec=spec(name="align"))
    bench.submit()
    before = bench.locates(made.out)
    bench.ignore()
    bench.finishes(worker, made.task)
    bench.expect("w1 drops o0", "stash forgets t0", "1 done, 0 left", f"request {before} failed")
    bench.locates(made.out)
    answer = bench.answer(RequestFailed)
    assert isinstance(answer, RequestFailed)
    assert "s1.o0, output of 'align', was not kept" in answer.reason


def test_objects_are_located_when_the_last_of_them_exists() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=2)
    first, second = bench.tasks(2, keep=True)
    large = bench.constant(1 << 20, keep=True)
    bench.submit()
    bench.ignore()
    request = bench.locates(first.out, second.out, large)
    bench.finishes(worker, second.task)
    bench.expect_nothing()
    bench.finishes(worker, first.task)
    bench.expect(f"request {request} located o0@w1 o1@w1 o2@server", "2 done, 0 left")


def test_a_failed_attempt_takes_back_the_tasks_that_wait_for_it_at_the_worker() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    retried = spec(retries=1)
    warm = bench.task(spec=retried)
    bench.submit()
    bench.finishes(worker, warm.task)
    first = bench.task(spec=retried)
    second = bench.task(first.out, spec=retried, keep=True)
    bench.ignore()
    bench.submit()
    bench.expect("w1 computes t1 t2")
    bench.fails(worker, first.task)
    bench.expect("w1 cancels t2.0", "w1 computes t1 t2")
    bench.finishes(worker, first.task, second.task)
    assert bench.stages() == [FINISHED] * 3
    assert WAITING not in bench.stages()


def test_a_wait_that_stays_is_followed_by_one_for_what_it_left() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=4)
    bench.tasks(3)
    bench.submit()
    bench.ignore()
    bench.client_says(Wait(1, 1, pack("I", [2, 0, 2]), some=True, stays=True))
    bench.finishes(worker, 0, 1)
    assert numbers("I", bench.answer(WaitDone).finished) == [0]
    bench.ignore()
    bench.client_says(Wait(2, 1, some=True, stays=True, after=1))
    bench.finishes(worker, 2)
    assert numbers("I", bench.answer(WaitDone).finished) == [2]
    assert not bench.session.followed
    bench.ignore()
    bench.client_says(Wait(3, 1, some=True, stays=True, after=2))
    assert "no wait 2 that another one may follow" in bench.answer(RequestFailed).reason


def test_what_a_wait_left_goes_when_nobody_follows() -> None:
    bench = Bench(fail_fast=False)
    worker = bench.worker_joins(cpus=4)
    bench.tasks(3)
    bench.submit()
    bench.finishes(worker, 0)
    bench.client_says(Wait(1, 1, pack("I", [0, 1]), some=True, stays=True))
    assert list(bench.session.followed) == [1]
    bench.client_says(Unwait(1))
    assert not bench.session.followed


def test_a_wait_that_follows_hears_of_a_failure_among_those_that_are_left() -> None:
    bench = Bench(fail_fast=False)
    worker = bench.worker_joins(cpus=4)
    bench.tasks(3)
    bench.submit()
    bench.finishes(worker, 0)
    bench.client_says(Wait(1, 1, pack("I", [0, 1]), some=True, stays=True), Wait(2, 1, some=True, after=1))
    bench.ignore()
    bench.fails(worker, 2)
    bench.fails(worker, 1)
    refused = bench.answer(RequestFailed)
    assert (refused.request, refused.task) == (2, 1)
