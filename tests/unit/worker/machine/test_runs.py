"""Neighbours that are alike are one run: cut, cancelled, lost and reported in parts, as its tasks alone would be."""

from __future__ import annotations

from rain.core.failure import Cause
from rain.protocol.columns import unpack
from rain.worker.machine.effects import QueuedRun
from tests.unit.worker.machine.bench import Bench, Given, Source, spec
from tests.unit.worker.machine.test_dispatch import batches, teach


def quick_bench(cpus: float = 1) -> Bench:
    """Its tasks are known to be short."""
    bench = Bench(cpus=cpus)
    teach(bench, duration_us=1)
    return bench


def test_neighbours_that_are_alike_travel_as_one_with_the_arguments_of_each() -> None:
    bench = quick_bench()
    bench.computes(*(Given(task, args=b"x" * (task % 3)) for task in range(10, 20)))
    [run] = bench.runs(0, *range(10, 20)).runs
    sizes = list(unpack("I", run.args_size, "args_size"))
    assert (run.task, run.count, run.attempt, run.first_output) == (10, 10, 1, 10)
    assert sizes == [task % 3 for task in range(10, 20)]
    assert len(run.args) == sum(sizes)


def test_a_run_ends_where_a_task_is_not_like_the_one_before() -> None:
    bench = quick_bench()
    others = [Given(20, inputs=(90,)), Given(21), Given(22, attempt=2), Given(23, spec=1), Given(24, spec=1)]
    bench.computes(0, 1, 2, 5, 6, *others, specs=[spec()], sources=[Source(90, inline=True)])
    found = [(run.task, run.count) for run in bench.take_batch().runs]
    assert found == [(0, 3), (5, 2), (20, 1), (21, 1), (22, 1)]


def test_outputs_that_are_not_numbered_on_end_a_run() -> None:
    bench = quick_bench()
    bench.computes(Given(0, first_output=0), Given(1, first_output=1), Given(2, first_output=7))
    assert [(run.task, run.count) for run in bench.take_batch().runs] == [(0, 2), (2, 1)]


def test_a_run_is_cut_into_shares_with_the_arguments_of_each() -> None:
    bench = quick_bench(cpus=2)
    bench.computes(*(Given(task, args=b"%d" % task) for task in range(8)))
    taken: list[QueuedRun] = []
    while sum(run.count for run in taken) < 7:
        taken += bench.take_batch().runs
    assert b"".join(bytes(run.args) for run in taken) == b"0123456"
    assert [run.first_output for run in taken] == [run.task for run in taken]


def test_a_range_is_reported_by_parts_beside_single_tasks() -> None:
    bench = quick_bench()
    bench.computes(*range(10))
    bench.runs(0, *range(10))
    bench.finishes_range(0, 0, 3)
    assert list(bench.reports(0, 1, 2).objects) == [0, 1, 2]
    bench.finishes_range(0, 5, 5)
    bench.reports(5, 6, 7, 8, 9)
    bench.finishes(0, 4, duration_us=1)
    bench.reports(4)
    bench.raises(0, 3)
    bench.tells_failed(3)
    bench.nothing_else_happened()
    assert not bench.machine.state.sessions[1].tasks


def test_large_results_of_a_range_do_not_travel_inline() -> None:
    bench = quick_bench()
    bench.computes(0, 1)
    bench.runs(0, 0, 1)
    bench.finishes_range(0, 0, 2, size=5000)
    assert bytes(bench.reports(0, 1).done.inline) == b"\0\0"


def test_results_of_a_range_have_those_run_that_wait_for_them() -> None:
    bench = quick_bench()
    bench.computes(*range(4), Given(9, spec=1, inputs=(2,)), specs=[spec()])
    bench.runs(0, *range(4))
    bench.finishes_range(0, 0, 4)
    bench.runs(0, 9)
    bench.reports(0, 1, 2, 3)
    bench.nothing_else_happened()


def test_a_task_cancelled_within_a_queued_run_leaves_the_others() -> None:
    bench = Bench(cpus=1)
    bench.computes(*range(6))
    bench.runs(0, 0)
    bench.cancels(2, 3)
    bench.finishes(0, 0, duration_us=1)
    bench.reports(0)
    assert batches(bench) == [(0, [1, 4, 5])]


def test_a_task_cancelled_within_a_batch_has_the_others_run_again() -> None:
    bench = quick_bench()
    bench.computes(*range(6))
    bench.runs(0, *range(6))
    bench.cancels(3)
    bench.kills(0)
    bench.finishes_range(0, 0, 5)
    bench.discards(3)
    bench.reports(0, 1, 2, 4)
    bench.ends(0, n_started=7, signal=9)
    bench.executors_start(1)
    bench.runs(1, 5)
    bench.nothing_else_happened()


def test_the_task_that_ran_when_its_executor_died_is_blamed_and_no_other_one() -> None:
    bench = quick_bench()
    bench.computes(*range(10))
    bench.runs(0, *range(10))
    bench.finishes_range(0, 0, 4)
    bench.reports(0, 1, 2, 3)
    # It began the one that taught, and seven of these.
    bench.ends(0, n_started=8, signal=11)
    assert bench.tells_failed(6).cause is Cause.EXECUTOR
    # What the others may have left stays until they have run again.
    bench.discards(6)
    bench.executors_start(1)
    bench.runs(1, 4, 5, 7, 8, 9)
    bench.nothing_else_happened()


def test_a_higher_attempt_takes_the_place_of_one_task_of_a_run() -> None:
    bench = Bench(cpus=1)
    bench.computes(*range(4))
    bench.runs(0, 0)
    bench.computes(Given(1, attempt=1), Given(2, attempt=2), Given(3, attempt=2))
    bench.finishes(0, 0, duration_us=1)
    bench.reports(0)
    [batch] = [bench.take_batch()]
    assert [(run.task, run.count, run.attempt) for run in batch.runs] == [(1, 1, 1), (2, 1, 2), (3, 1, 2)]


def test_neighbours_are_dropped_together_but_not_what_somebody_needs() -> None:
    bench = quick_bench()
    bench.computes(*range(6))
    bench.runs(0, *range(6))
    bench.finishes_range(0, 0, 6)
    bench.reports(*range(6))
    bench.computes(Given(50, inputs=(3,)))
    bench.runs(0, 50)
    bench.drops(*range(6))
    bench.discards(0, 1, 2, 4, 5)
    bench.finishes(0, 50, duration_us=1)
    bench.reports(50)
    bench.discards(3)
    bench.nothing_else_happened()


def test_a_session_that_ends_takes_its_runs_along() -> None:
    bench = quick_bench()
    bench.computes(*range(9))
    bench.runs(0, *range(9))
    bench.ends_session()
    bench.kills(0)
    bench.closes_store()
    bench.finishes_range(0, 0, 4)
    bench.discards(0, 1, 2, 3)
    bench.ends(0, n_started=6, signal=9)
    bench.discards(4)
    bench.executors_start(1)
    bench.nothing_else_happened()
