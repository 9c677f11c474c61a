"""Workers that are lost, or that lack what they were thought to hold."""

from __future__ import annotations

from rain.protocol.columns import pack
from rain.protocol.worker import Fetched
from rain.server.machine.stages import ASSIGNED, CANCELLED, FAILED, FINISHED, READY, WAITING
from tests.unit.server.machine.bench import Bench

LONG_US = 10_000_000


def test_the_tasks_of_a_lost_worker_run_elsewhere_under_a_new_attempt() -> None:
    bench = Bench()
    first = bench.worker_joins(cpus=2)
    bench.tasks(2, keep=True)
    bench.submit()
    bench.worker_joins(cpus=2)
    bench.ignore()
    bench.worker_leaves(first)
    bench.expect("w2 computes t0 t1")
    assert list(bench.session.tasks.attempt) == [1, 1]


def test_exactly_the_ancestors_of_what_was_lost_and_is_needed_run_again() -> None:
    bench = Bench()
    first = bench.worker_joins()
    source = bench.task()
    kept = bench.task(source.out, keep=True)
    middle = bench.task(source.out)
    last = bench.task(middle.out, keep=True)
    bench.task()
    bench.submit()
    for task in (0, 4, 1, 2, 3):
        if bench.session.tasks.stage[task] != ASSIGNED:
            bench.happens()
        bench.finishes(first, task, us=LONG_US)
    while bench.session.unfinished:
        task = bench.stages().index(ASSIGNED)
        bench.finishes(first, task, us=LONG_US)
    bench.unkeeps(last.out)
    bench.ignore()
    bench.worker_leaves(first)
    assert bench.stages() == [READY, WAITING, FINISHED, FINISHED, FINISHED]
    bench.expect_nothing()
    second = bench.worker_joins()
    bench.expect("w2 computes t0")
    bench.finishes(second, source.task, us=LONG_US)
    bench.expect("w2 computes t1")
    bench.finishes(second, kept.task, us=LONG_US)
    bench.expect("w2 drops o0")


def test_results_that_the_server_holds_survive_every_worker() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    bench.finishes(worker, made.task, size=100)
    bench.ignore()
    bench.worker_leaves(worker)
    bench.expect_nothing()
    request = bench.locates(made.out)
    bench.expect(f"request {request} located o0@inline")


def test_a_second_copy_saves_an_object_from_being_computed_again() -> None:
    bench = Bench()
    first, second = bench.worker_joins(), bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    holder = bench.session.tasks.worker[made.task]
    other = first + second - holder
    bench.finishes(holder, made.task)
    bench.worker_says(other, Fetched(1, pack("I", [made.out])))
    bench.ignore()
    bench.worker_leaves(holder)
    bench.expect_nothing()
    request = bench.locates(made.out)
    bench.expect(f"request {request} located o0@w{other}")


def test_what_was_fetched_and_is_not_needed_any_more_is_dropped() -> None:
    bench = Bench()
    first, second = bench.worker_joins(), bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    holder = bench.session.tasks.worker[made.task]
    bench.finishes(holder, made.task)
    bench.unkeeps(made.out)
    bench.ignore()
    other = first + second - holder
    bench.worker_says(other, Fetched(1, pack("I", [made.out])))
    bench.expect(f"w{other} drops o0")


def test_a_request_for_a_lost_object_waits_until_it_is_made_again() -> None:
    bench = Bench()
    first = bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    bench.finishes(first, made.task)
    bench.worker_leaves(first)
    request = bench.locates(made.out)
    second = bench.worker_joins()
    bench.ignore()
    bench.finishes(second, made.task)
    bench.expect(f"request {request} located o0@w2")


def test_a_copy_that_cannot_be_had_is_made_again_and_not_counted_on() -> None:
    bench = Bench()
    first = bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    bench.finishes(first, made.task, us=LONG_US)
    bench.task(keep=True)
    bench.submit()
    second = bench.worker_joins()
    reader = bench.task(made.out)
    bench.submit()
    assert bench.session.tasks.worker[reader.task] == second
    bench.ignore()
    bench.lacks(second, made.out, first, reader.task)
    bench.expect("w1 drops o0", "w2 computes t0")
    assert bench.stages() == [ASSIGNED, ASSIGNED, WAITING]


def test_a_worker_that_lacks_an_input_of_its_own_is_given_it_again() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    made = bench.task()
    reader = bench.task(made.out, keep=True)
    bench.submit()
    bench.finishes(worker, made.task, us=LONG_US)
    bench.ignore()
    bench.lacks(worker, made.out, worker, reader.task)
    bench.expect("w1 drops o0", "w1 computes t0")


def test_nothing_is_made_again_in_a_failed_session() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    made, bad = bench.tasks(2, keep=True)
    bench.submit()
    bench.finishes(worker, made.task, us=LONG_US)
    bench.fails(worker, bad.task)
    bench.ignore()
    bench.worker_leaves(worker)
    bench.expect_nothing()
    request = bench.locates(made.out)
    bench.expect(f"request {request} failed by t1")


def test_a_result_of_an_attempt_that_was_given_up_is_dropped_where_it_is() -> None:
    bench = Bench()
    first, second = bench.worker_joins(), bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    holder = bench.session.tasks.worker[made.task]
    other = first + second - holder
    bench.finishes(holder, made.task)
    bench.ignore()
    bench.finishes(other, made.task)
    bench.expect(f"w{other} drops o0")


def test_cancelling_while_an_object_is_made_again_ends_it() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    bench.finishes(worker, made.task)
    bench.worker_leaves(worker)
    bench.ignore()
    request = bench.cancels(made.task)
    assert bench.stages() == [CANCELLED]
    bench.expect(f"request {request} is acknowledged", "stash forgets t0")


def test_what_cannot_be_made_again_because_its_input_failed_meanwhile_is_cancelled() -> None:
    bench = Bench(fail_fast=False)
    first = bench.worker_joins()
    source = bench.task(keep=True)
    reader = bench.task(source.out, keep=True)
    bench.submit()
    bench.finishes(first, source.task, us=LONG_US)
    second = bench.worker_joins()
    bench.finishes(first, reader.task, us=LONG_US)
    bench.worker_says(second, Fetched(1, pack("I", [reader.out])))
    bench.worker_leaves(first)
    bench.fails(second, source.task)
    bench.ignore()
    bench.worker_leaves(second)
    assert bench.stages() == [FAILED, CANCELLED]
    request = bench.locates(reader.out)
    bench.expect("stash forgets t1", f"request {request} failed by t0")
