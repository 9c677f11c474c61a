"""Short tasks travel together with those that make their inputs, and are never worse off for it."""

from __future__ import annotations

from rain.core.failure import Cause, Failure
from rain.protocol.executor import Produced, RangeDone, TaskDone, TaskFailed, TaskSkipped
from rain.worker.machine.dispatch import BATCH_US
from rain.worker.machine.effects import RunBatch
from rain.worker.machine.events import ExecutorReported
from tests.unit.worker.machine.bench import Bench, Given, Source, expect, spec
from tests.unit.worker.machine.test_dispatch import batches, teach

FAILURE = Failure(cause=Cause.TASK, message="ValueError: no")
CHAIN = (Given(0), Given(1, inputs=(0,)), Given(2, inputs=(1,)))


def quick_bench(cpus: float = 1, duration_us: int = 100) -> Bench:
    bench = Bench(cpus=cpus)
    teach(bench, duration_us=duration_us)
    return bench


def done(task: int) -> TaskDone:
    return TaskDone(task, 1, 100, (Produced(size=10),))


def inner(batch: RunBatch) -> dict[int, tuple[int, ...]]:
    return {run.task: run.inner for run in batch.runs if run.inner}


def test_a_chain_of_short_tasks_is_one_batch_and_one_report() -> None:
    bench = quick_bench()
    bench.computes(*CHAIN)
    assert inner(bench.runs(0, 0, 1, 2)) == {1: (0,), 2: (1,)}
    bench.finishes(0, 0, 1, 2, duration_us=100)
    bench.reports(0, 1, 2)
    bench.nothing_else_happened()


def test_parts_of_a_chain_may_be_reported_one_by_one() -> None:
    bench = quick_bench()
    bench.computes(*CHAIN)
    bench.runs(0, 0, 1, 2)
    for task in range(3):
        bench.finishes(0, task, duration_us=100)
        bench.reports(task)
    bench.nothing_else_happened()


def test_a_task_follows_when_all_that_it_misses_is_made_before_it_in_the_batch() -> None:
    bench = quick_bench()
    bench.computes(
        *range(4), Given(4, inputs=(0, 50, 3)), Given(5, inputs=(0, 60)), sources=[Source(50, inline=True), Source(60)]
    )
    assert inner(bench.take_batch()) == {4: (0, 3)}


def test_a_task_whose_input_another_batch_makes_waits() -> None:
    bench = quick_bench(cpus=2)
    bench.computes(0, 1, Given(2, inputs=(0, 1)))
    assert sorted(batches(bench)) == [(0, [1]), (1, [0])]
    bench.finishes(1, 0, duration_us=100)
    bench.reports(0)
    bench.finishes(0, 1, duration_us=100)
    assert batches(bench) == [(0, [2])]


def test_a_batch_with_followers_holds_no_more_than_any_other() -> None:
    bench = quick_bench(duration_us=500)
    bench.computes(Given(0), *(Given(task, inputs=(task - 1,)) for task in range(1, 10)))
    bench.runs(0, *range(int(BATCH_US / 500)))


def test_long_unknown_and_foreign_tasks_do_not_follow() -> None:
    bench = quick_bench(cpus=2)
    long, unknown, other = Given(1, inputs=(0,), spec=1), Given(2, inputs=(0,), spec=2), Given(3, inputs=(0,), spec=3)
    bench.computes(999, specs=[spec(), spec(), spec(cpus=2)])
    [(executor, _)] = batches(bench)
    bench.finishes(executor, 999, duration_us=100)
    bench.reports(999)
    teach(bench, duration_us=50_000, task=1001, spec_number=1)
    teach(bench, duration_us=100, task=1002, spec_number=3)
    bench.computes(0, long, unknown, other)
    [(_, tasks)] = batches(bench)
    assert tasks == [0]


def test_readers_of_one_object_are_spread_over_executors_that_idle() -> None:
    bench = quick_bench(cpus=2)
    bench.computes(0, *(Given(task, inputs=(0,)) for task in range(1, 9)))
    [(executor, tasks)] = batches(bench)
    assert tasks == [0]
    bench.finishes(executor, 0, duration_us=100)
    assert len({number for number, _ in batches(bench)}) == 2


def test_of_several_readers_of_an_object_executors_that_are_busy_get_their_share() -> None:
    bench = quick_bench(cpus=2)
    bench.computes(Given(999, spec=1), specs=[spec()])
    [(_, [_])] = batches(bench)
    bench.computes(0, *(Given(task, inputs=(0,)) for task in range(1, 9)))
    [(_, tasks)] = batches(bench)
    assert tasks == [0, 1, 2, 3, 4]


def test_readers_that_are_not_worth_a_way_to_another_executor_stay_together() -> None:
    bench = quick_bench(cpus=2, duration_us=20)
    bench.computes(0, Given(1, inputs=(0,)), Given(2, inputs=(0,)), Given(3, inputs=(1, 2)), Given(4, inputs=(3,)))
    [(_, tasks)] = batches(bench)
    assert tasks == [0, 1, 2, 3, 4]


def test_results_of_a_range_are_read_in_the_same_batch() -> None:
    bench = quick_bench(duration_us=1)
    bench.computes(*range(4), Given(9, inputs=(2, 3)))
    assert inner(bench.runs(0, 0, 1, 2, 3, 9)) == {9: (2, 3)}
    ranges = (RangeDone(0, 4, 1, bytes(16), (10).to_bytes(8, "little") * 4, bytes(40)),)
    bench.happens(ExecutorReported(0, 1, (done(9),), (), ranges))
    bench.reports(0, 1, 2, 3, 9)
    bench.nothing_else_happened()


def test_what_was_skipped_waits_until_the_server_cancels_it() -> None:
    bench = quick_bench()
    bench.computes(*CHAIN)
    bench.runs(0, 0, 1, 2)
    skipped = (TaskSkipped(1, 1), TaskSkipped(2, 1))
    bench.happens(ExecutorReported(0, 1, (), (TaskFailed(0, 1, 10, FAILURE),), (), skipped))
    bench.tells_failed(0)
    bench.cancels(1, 2)
    bench.nothing_else_happened()
    assert not bench.machine.state.sessions[1].tasks


def test_what_was_skipped_runs_after_another_attempt_at_what_it_reads() -> None:
    bench = quick_bench()
    bench.computes(*CHAIN)
    bench.runs(0, 0, 1, 2)
    skipped = (TaskSkipped(1, 1), TaskSkipped(2, 1))
    bench.happens(ExecutorReported(0, 1, (), (TaskFailed(0, 1, 10, FAILURE),), (), skipped))
    bench.tells_failed(0)
    bench.computes(Given(0, attempt=2))
    bench.runs(0, 0, 1, 2)


def test_what_an_executor_cannot_pass_on_is_read_from_the_store_from_then_on() -> None:
    bench = quick_bench()
    bench.computes(*CHAIN)
    bench.runs(0, 0, 1, 2)
    bench.happens(ExecutorReported(0, 1, (done(0),), (), (), (TaskSkipped(1, 1), TaskSkipped(2, 1))))
    assert inner(bench.runs(0, 1)) == {}
    bench.reports(0)
    bench.finishes(0, 1, duration_us=100)
    bench.runs(0, 2)


def test_a_result_made_of_what_was_not_accepted_is_made_again() -> None:
    bench = quick_bench()
    bench.computes(*CHAIN[:2])
    bench.runs(0, 0, 1)
    # Its result could not be stored.
    bench.happens(ExecutorReported(0, 1, (done(1),), (TaskFailed(0, 1, 10, FAILURE),)))
    bench.tells_failed(0)
    bench.nothing_else_happened()
    bench.computes(Given(0, attempt=2))
    bench.runs(0, 0, 1)
    bench.finishes(0, 0, attempt=2, duration_us=100)
    bench.reports(0)
    bench.finishes(0, 1, duration_us=100)
    bench.reports(1)
    bench.nothing_else_happened()


def test_cancelling_what_a_batch_reads_has_its_readers_wait() -> None:
    bench = quick_bench()
    bench.computes(*CHAIN)
    bench.runs(0, 0, 1, 2)
    bench.cancels(0)
    bench.kills(0)
    bench.happens(ExecutorReported(0, 1, (done(0), done(1)), ()))
    bench.ends(0, n_started=2, signal=9)
    session = bench.machine.state.sessions[1]
    assert [session.tasks.get(task) is not None for task in range(3)] == [False, True, True]
    assert list(session.waiters) == [0, 1]


def test_a_batch_whose_executor_was_killed_runs_again_in_order() -> None:
    bench = quick_bench()
    bench.computes(*CHAIN)
    bench.runs(0, 0, 1, 2)
    bench.cancels(2)
    bench.kills(0)
    bench.ends(0, n_started=1 + 2, signal=9)
    bench.executors_start(1)
    bench.runs(1, 0, 1)


def test_a_task_that_ends_its_executor_is_blamed_once_its_inputs_are_in_the_store() -> None:
    bench = quick_bench()
    bench.computes(*CHAIN[:2])
    bench.runs(0, 0, 1)
    bench.ends(0, n_started=2 + 1, signal=11)
    bench.executors_start(1)
    bench.runs(1, 0)
    bench.finishes(1, 0, duration_us=100)
    bench.runs(1, 1)
    bench.reports(0)
    bench.ends(1, n_started=2, signal=11)
    failure = bench.tells_failed(1)
    expect(failure.cause, Cause.EXECUTOR)


def test_the_task_that_ran_is_blamed_where_others_before_it_were_skipped() -> None:
    bench = quick_bench()
    bench.computes(Given(0), Given(1), Given(2, inputs=(0,)))
    bench.runs(0, 0, 1, 2)
    bench.happens(ExecutorReported(0, 1, (), (TaskFailed(0, 1, 10, FAILURE),), (), (TaskSkipped(2, 1),)))
    bench.tells_failed(0)
    # One that taught the duration, the one that failed, the skipped one, and this one.
    bench.ends(0, n_started=4, signal=11)
    expect(bench.tells_failed(1).cause, Cause.EXECUTOR)


def test_a_fetch_that_fails_takes_no_task_out_of_the_batch_that_makes_the_object() -> None:
    bench = quick_bench()
    bench.computes(*CHAIN[:2])
    bench.runs(0, 0, 1)
    bench.computes(Given(5, inputs=(0,)), sources=[Source(0)])
    bench.fetches(0)
    bench.cannot_be_had(0)
    bench.gives_back(5, lost=[0])
    bench.finishes(0, 0, 1, duration_us=100)
    bench.reports(0, 1)
    bench.nothing_else_happened()


def test_what_only_followers_read_goes_when_the_server_drops_it() -> None:
    bench = quick_bench()
    bench.computes(*CHAIN)
    bench.runs(0, 0, 1, 2)
    bench.finishes(0, 0, duration_us=100)
    bench.reports(0)
    bench.drops(0)
    bench.nothing_else_happened()
    bench.finishes(0, 1, duration_us=100)
    bench.discards(0)


def test_the_end_of_a_session_ends_a_batch_of_followers() -> None:
    bench = quick_bench()
    bench.computes(*CHAIN)
    bench.runs(0, 0, 1, 2)
    bench.ends_session()
    bench.kills(0)
    bench.closes_store()
    bench.happens(ExecutorReported(0, 1, (done(0), done(1)), (), (), (TaskSkipped(2, 1),)))
    bench.discards(0, 1)
