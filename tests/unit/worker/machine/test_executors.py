"""Executors start, end, and are replaced."""

from __future__ import annotations

from rain.core.failure import Cause
from rain.core.resources import Offer
from rain.worker.machine.effects import Complain, Exit, StartExecutor
from rain.worker.machine.executors import GIVE_UP_AFTER_S, LONGEST_PAUSE_S, MAX_EARLY_DEATHS
from rain.worker.machine.machine import WorkerMachine
from tests.unit.worker.machine.bench import Bench, Given, spec


def learned_bench() -> Bench:
    """One executor, and tasks known to be short."""
    bench = Bench(cpus=1)
    bench.computes(100)
    bench.runs(0, 100)
    bench.finishes(0, 100, duration_us=100)
    bench.reports(100)
    return bench


def test_one_executor_per_cpu_is_started() -> None:
    bench = Bench(cpus=3, ready=False)
    assert bench.machine.n_wanted == 3
    assert bench.machine.n_ready == 0
    bench.executors_start(0, 1, 2)
    assert bench.machine.n_ready == 3
    bench.nothing_else_happened()


def test_a_worker_with_less_than_a_cpu_has_one_executor() -> None:
    machine = WorkerMachine(Offer(cpus=10), number=1)
    assert machine.start(0.0) == [StartExecutor(0)]


def test_tasks_wait_until_an_executor_is_ready() -> None:
    bench = Bench(cpus=1, ready=False)
    bench.computes(0)
    bench.executors_start(0)
    bench.runs(0, 0)
    bench.nothing_else_happened()


def test_the_task_that_ran_when_its_process_died_fails_with_the_reason() -> None:
    bench = Bench(cpus=1)
    bench.computes(3)
    bench.runs(0, 3)
    bench.ends(0, n_started=1, signal=11, stderr="Fatal Python error")
    failure = bench.tells_failed(3)
    assert failure.cause is Cause.EXECUTOR
    assert failure.message == "the process that ran it was killed by signal 11 (segmentation fault)"
    assert failure.stderr == "Fatal Python error"
    bench.discards(3)
    bench.executors_start(1)
    bench.nothing_else_happened()


def test_an_exit_code_and_an_unknown_signal_are_told_as_numbers() -> None:
    bench = Bench(cpus=2)
    bench.computes(0, 1)
    bench.ends(1, n_started=1, exit_code=3)
    assert bench.tells_failed(0).message == "the process that ran it exited with code 3"
    bench.ends(0, n_started=1, signal=60)
    assert bench.tells_failed(1).message == "the process that ran it was killed by signal 60"


def test_only_the_running_task_of_a_batch_fails() -> None:
    bench = learned_bench()
    bench.computes(*range(6))
    bench.runs(0, *range(6))
    bench.finishes(0, 0, duration_us=100)
    bench.reports(0)
    # Begun in all: 100, 0, 1 (done, not reported), 2 (running).
    bench.ends(0, n_started=4, signal=11)
    bench.tells_failed(2)
    bench.discards(2)
    bench.executors_start(1)
    bench.runs(1, 1, 3, 4, 5)
    bench.nothing_else_happened()


def test_tasks_of_a_second_batch_queue_again_in_their_order() -> None:
    bench = learned_bench()
    bench.computes(*range(60))
    bench.runs(0, *range(20))
    bench.runs(0, *range(20, 40))
    bench.ends(0, n_started=1, exit_code=1)
    bench.executors_start(1)
    bench.runs(1, *range(20))
    bench.runs(1, *range(20, 40))
    bench.nothing_else_happened()


def test_an_executor_that_ends_without_work_blames_nobody() -> None:
    bench = Bench(cpus=1)
    bench.ends(0, signal=9)
    bench.executors_start(1)
    bench.nothing_else_happened()


def test_the_end_of_an_unknown_executor_is_ignored() -> None:
    bench = Bench(cpus=1)
    bench.ends(50, signal=9)
    bench.nothing_else_happened()


def test_a_task_that_runs_longer_than_its_limit_is_killed_and_fails() -> None:
    bench = Bench(cpus=1)
    bench.computes(3, specs=[spec(timeout_s=2.5)])
    bench.runs(0, 3)
    bench.passes(2.5)
    bench.nothing_else_happened()
    bench.passes(0.5)
    bench.kills(0)
    bench.passes(0.5)
    bench.nothing_else_happened()
    bench.ends(0, n_started=1, signal=9)
    failure = bench.tells_failed(3)
    assert failure.cause is Cause.TASK
    assert failure.message == "it ran longer than its limit of 2.5 s and was stopped"
    bench.discards(3)
    bench.executors_start(1)
    bench.nothing_else_happened()


def test_a_task_that_was_done_before_it_could_be_killed_is_done() -> None:
    bench = Bench(cpus=1)
    bench.computes(3, specs=[spec(timeout_s=2.5)])
    bench.runs(0, 3)
    bench.passes(3)
    bench.kills(0)
    bench.finishes(0, 3)
    bench.reports(3)
    bench.ends(0, n_started=1, signal=9)
    bench.executors_start(1)
    bench.nothing_else_happened()


def test_executors_that_die_at_once_are_not_restarted_in_a_hot_loop() -> None:
    bench = Bench(cpus=1, ready=False)
    for number in range(MAX_EARLY_DEATHS):
        assert bench.take(StartExecutor).executor == number
        bench.nothing_else_happened()
        bench.ends(number, exit_code=1, stderr="no module named encodings")
    text = bench.take(Complain).text
    assert "3 executor processes in a row ended before they ran a task" in text
    assert "exited with code 1" in text
    assert "no module named encodings" in text
    bench.nothing_else_happened()
    bench.passes(0.5)
    bench.nothing_else_happened()
    bench.passes(0.6)
    bench.executors_start(MAX_EARLY_DEATHS)
    bench.nothing_else_happened()


def test_after_early_deaths_executors_are_tried_one_at_a_time() -> None:
    bench = Bench(cpus=4, ready=False)
    for number in range(4):
        assert bench.take(StartExecutor).executor == number
    for number in range(4):
        bench.ends(number, exit_code=1)
    restarted = [effect for effect in bench._effects if isinstance(effect, StartExecutor)]
    assert len(restarted) == 2, "those that replaced the first two"
    bench._effects.clear()
    bench.ends(4, exit_code=1)
    bench.ends(5, exit_code=1)
    bench._effects.clear()
    bench.now += LONGEST_PAUSE_S
    bench.passes(0)
    assert bench.take(StartExecutor).executor == 6
    bench.nothing_else_happened()


def test_a_task_that_works_ends_the_caution() -> None:
    bench = Bench(cpus=2, ready=False)
    for number in range(4):
        bench.take(StartExecutor)
        bench.ends(number, exit_code=1)
    bench._effects.clear()
    bench.passes(LONGEST_PAUSE_S)
    bench.executors_start(4)
    assert bench.take(StartExecutor).executor == 5
    bench.ends(5, exit_code=1)
    bench.take(Complain)
    bench.computes(0)
    bench.runs(4, 0)
    bench.nothing_else_happened()
    bench.finishes(4, 0)
    bench.reports(0)
    assert bench.take(StartExecutor).executor == 6
    bench.nothing_else_happened()


def test_executors_that_die_on_their_first_batch_count_as_early_deaths() -> None:
    bench = Bench(cpus=1)
    bench.computes(0)
    for number in range(MAX_EARLY_DEATHS):
        bench.runs(number, 0)
        bench.ends(number, exit_code=1)
        if number < MAX_EARLY_DEATHS - 1:
            bench.executors_start(number + 1)
    bench.take(Complain)
    bench.nothing_else_happened()


def test_a_worker_on_which_no_executor_lives_leaves() -> None:
    bench = Bench(cpus=1, ready=False)
    began = bench.now
    while not bench.machine.state.exited:
        starts = [effect for effect in bench._effects if isinstance(effect, StartExecutor)]
        bench._effects.clear()
        for start in starts:
            bench.ends(start.executor, exit_code=1)
        if not starts:
            bench.passes(1)
        assert bench.now < began + 3 * GIVE_UP_AFTER_S
    assert "cannot run tasks and leaves" in bench.take(Complain).text
    bench.take(Exit)
    bench.nothing_else_happened()


def test_an_executor_that_dies_while_another_task_waits_for_the_output_keeps_it_waiting() -> None:
    bench = Bench(cpus=1)
    bench.computes(0, Given(1, inputs=(0,)))
    bench.runs(0, 0)
    bench.ends(0, n_started=1, signal=6)
    bench.tells_failed(0)
    bench.discards(0)
    bench.executors_start(1)
    bench.nothing_else_happened()
