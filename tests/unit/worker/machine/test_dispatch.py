"""Which tasks start, where, and how many at a time."""

from __future__ import annotations

from rain.worker.machine.dispatch import MAX_BATCH, PATIENCE_S
from rain.worker.machine.effects import RunBatch, StartExecutor
from tests.unit.worker.machine.bench import Bench, Given, spec, tasks_of


def batches(bench: Bench) -> list[tuple[int, list[int]]]:
    """All batches that were given and not looked at: executors with their tasks."""
    found = []
    while any(isinstance(effect, RunBatch) for effect in bench._effects):
        batch = bench.take(RunBatch)
        found.append((batch.executor, tasks_of(batch)))
    return found


def teach(bench: Bench, duration_us: int, *, task: int = 1000, spec_number: int = 0) -> None:
    """One task of the spec ran on the executor that was used last."""
    bench.computes(Given(task, spec=spec_number))
    [(executor, _)] = batches(bench)
    bench.finishes(executor, task, duration_us=duration_us)
    bench.reports(task)


def test_tasks_of_unknown_duration_go_one_by_one() -> None:
    bench = Bench(cpus=2)
    bench.computes(*range(10))
    assert batches(bench) == [(1, [0]), (0, [1])]
    bench.nothing_else_happened()


def test_long_tasks_go_one_by_one_and_nothing_waits_behind_them() -> None:
    bench = Bench(cpus=2)
    teach(bench, duration_us=10_000)
    bench.computes(*range(10))
    assert [len(tasks) for _, tasks in batches(bench)] == [1, 1]
    bench.nothing_else_happened()


def test_short_tasks_go_in_batches_of_about_two_milliseconds() -> None:
    bench = Bench(cpus=2)
    teach(bench, duration_us=100)
    bench.computes(*range(500))
    found = batches(bench)
    assert [(executor, len(tasks)) for executor, tasks in found] == [(1, 20), (0, 20), (0, 20), (1, 20)]
    assert [task for _, tasks in found for task in tasks] == list(range(80))
    bench.nothing_else_happened()


def test_a_batch_is_never_larger_than_the_cap() -> None:
    bench = Bench(cpus=1)
    teach(bench, duration_us=0, task=10 * MAX_BATCH)
    bench.computes(*range(3 * MAX_BATCH))
    assert [len(tasks) for _, tasks in batches(bench)] == [MAX_BATCH, MAX_BATCH]


def test_a_short_queue_is_shared_evenly_between_executors() -> None:
    bench = Bench(cpus=4)
    teach(bench, duration_us=1)
    bench.computes(*range(8))
    given = dict.fromkeys(range(4), 0)
    for executor, tasks in batches(bench):
        given[executor] += len(tasks)
    assert sorted(given.values()) == [2, 2, 2, 2]


def test_the_shares_shrink_towards_the_end_of_the_queue() -> None:
    bench = Bench(cpus=4)
    teach(bench, duration_us=1)
    bench.computes(*range(100))
    sizes = [len(tasks) for _, tasks in batches(bench)]
    assert sizes[0] == 25
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes[4:]) <= 8


def test_a_second_batch_waits_at_most_behind_one_other() -> None:
    bench = Bench(cpus=1)
    teach(bench, duration_us=100)
    bench.computes(*range(100))
    first, second = batches(bench)
    bench.nothing_else_happened()
    bench.finishes(0, *first[1], duration_us=100)
    assert len(batches(bench)) == 1
    bench.reports(*first[1])
    bench.finishes(0, *second[1][:5], duration_us=100)
    bench.reports(*second[1][:5])
    bench.nothing_else_happened()


def test_tasks_start_in_the_servers_order_even_when_they_were_ready_later() -> None:
    bench = Bench(cpus=1)
    bench.computes(0, Given(1, inputs=(0,)), 2, 3)
    bench.runs(0, 0)
    bench.finishes(0, 0)
    bench.runs(0, 1)
    bench.reports(0)
    bench.nothing_else_happened()


def test_a_batch_has_tasks_of_one_session_only() -> None:
    bench = Bench(cpus=1)
    teach(bench, duration_us=1)
    bench.computes(50, session=2)
    bench.runs(0, 50, session=2)
    bench.computes(0, 1)
    bench.computes(0, 1, session=2)
    bench.nothing_else_happened()
    bench.finishes(0, 50, session=2, duration_us=1)
    bench.runs(0, 0, 1, session=1)
    bench.runs(0, 0, 1, session=2)


def test_resources_are_never_over_committed() -> None:
    bench = Bench(cpus=4)
    bench.computes(0, 1, 2, specs=[spec(cpus=2)])
    assert batches(bench) == [(3, [0]), (2, [1])]
    bench.nothing_else_happened()
    bench.finishes(3, 0)
    assert batches(bench) == [(3, [2])]


def test_a_smaller_task_passes_one_that_does_not_fit_yet() -> None:
    bench = Bench(cpus=2)
    bench.computes(0, Given(1, spec=1), 2, specs=[spec(cpus=1), spec(cpus=2)])
    assert batches(bench) == [(1, [0]), (0, [2])]
    bench.nothing_else_happened()


def test_smaller_tasks_do_not_pass_a_large_one_for_ever() -> None:
    bench = Bench(cpus=2)
    bench.computes(0, Given(1, spec=1), 2, 3, 4, specs=[spec(cpus=1), spec(cpus=2)])
    assert batches(bench) == [(1, [0]), (0, [2])]
    bench.now += PATIENCE_S / 2
    bench.finishes(1, 0)
    assert batches(bench) == [(1, [3])]
    bench.now += PATIENCE_S
    bench.finishes(1, 3)
    assert batches(bench) == []
    bench.finishes(0, 2)
    assert batches(bench) == [(0, [1])]
    bench.finishes(0, 1)
    assert batches(bench) == [(0, [4])]


def test_what_does_not_compete_with_a_reserved_task_goes_on() -> None:
    bench = Bench(cpus=3, gpus=1)
    bench.computes(0, Given(1), specs=[spec(cpus=1, gpus=1), spec(cpus=1)])
    assert batches(bench) == [(2, [0])]
    bench.passes(PATIENCE_S + 1)
    bench.computes(Given(2, spec=1), Given(3, spec=1))
    assert batches(bench) == [(1, [2])]
    bench.nothing_else_happened()
    bench.finishes(1, 2)
    assert batches(bench) == [(1, [3])]


def test_short_tasks_do_not_keep_an_executor_that_an_older_task_waits_for() -> None:
    bench = Bench(cpus=2)
    bench.computes(Given(999, spec=0), specs=[spec(cpus=1), spec(cpus=2)])
    bench.finishes(1, 999, duration_us=100)
    batches(bench)
    bench.computes(*range(50))
    first = batches(bench)
    assert len(first) == 4
    bench.computes(Given(500, spec=1), *range(51, 2000))
    bench.now += 0.01
    for executor, tasks in first:
        bench.finishes(executor, *tasks, duration_us=100)
    bench.now += PATIENCE_S + 1
    running = batches(bench)
    for _ in range(4):
        for executor, tasks in running:
            bench.finishes(executor, *tasks, duration_us=100)
        running = batches(bench)
        if any(500 in tasks for _, tasks in running):
            return
    raise AssertionError("the large task never started")


def test_tasks_of_half_a_cpu_get_more_executors_than_cpus() -> None:
    bench = Bench(cpus=1)
    bench.computes(0, 1, 2, specs=[spec(cpus=0.5)])
    bench.runs(0, 0)
    assert bench.take(StartExecutor) == StartExecutor(1)
    bench.nothing_else_happened()


def test_executors_for_fractions_are_bounded() -> None:
    bench = Bench(cpus=1)
    bench.computes(*range(50), specs=[spec(cpus=0.1)])
    bench.runs(0, 0)
    assert [bench.take(StartExecutor).executor for _ in range(3)] == [1, 2, 3]
    bench.nothing_else_happened()


def test_tasks_that_ask_for_nothing_run_beside_a_busy_cpu_but_not_without_bound() -> None:
    bench = Bench(cpus=1)
    bench.computes(0, specs=[spec(cpus=1), spec(cpus=0)])
    bench.runs(0, 0)
    bench.computes(Given(1, spec=1), Given(2, spec=1))
    bench.executors_start(1)
    bench.runs(1, 1)
    bench.nothing_else_happened()


def test_a_task_with_a_time_limit_stands_alone() -> None:
    bench = Bench(cpus=1)
    bench.computes(0, specs=[spec(timeout_s=5)])
    bench.runs(0, 0)
    bench.finishes(0, 0, duration_us=10)
    bench.reports(0)
    bench.computes(1, 2, 3)
    bench.runs(0, 1)
    bench.nothing_else_happened()
