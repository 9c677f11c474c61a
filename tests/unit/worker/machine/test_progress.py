"""What tasks say of their progress on its way through the worker's machine."""

from __future__ import annotations

from rain.core.note import MAX_PROGRESS_TEXT, TaskNote, TaskProgress
from rain.protocol.columns import unpack
from rain.protocol.executor import Produced, TaskDone
from rain.protocol.worker import Failed, TasksProgressed
from rain.worker.machine.effects import ReportDone, Tell
from rain.worker.machine.events import ExecutorEnded, ExecutorProgressed
from rain.worker.plausible import plausible_done, plausible_progress
from tests.unit.worker.machine.bench import Bench, Given, expect


def says(bench: Bench, executor: int, task: int, fraction: float, *, attempt: int = 1) -> None:
    bench.happens(ExecutorProgressed(executor, 1, task, attempt, TaskProgress(fraction)))


def tells(bench: Bench, *rows: tuple[int, float]) -> None:
    message = bench.take(Tell).message
    assert isinstance(message, TasksProgressed)
    expect(
        list(zip(unpack("I", message.task, "task"), [each.fraction for each in message.progress], strict=True)), [*rows]
    )
    expect(list(unpack("I", message.attempt, "attempt")), [1] * len(rows))


def running() -> Bench:
    """Executor 1 runs task 0, executor 0 task 1."""
    bench = Bench()
    bench.computes(0, 1)
    bench.runs(1, 0)
    bench.runs(0, 1)
    return bench


def test_the_first_word_is_told_at_once_and_later_ones_together() -> None:
    bench = running()
    says(bench, 1, 0, 0.1)
    tells(bench, (0, 0.1))
    says(bench, 1, 0, 0.2)
    says(bench, 0, 1, 0.3)
    says(bench, 1, 0, 0.4)
    bench.nothing_else_happened()
    bench.passes(0.5)
    tells(bench, (0, 0.4), (1, 0.3))
    bench.passes(0.5)
    bench.nothing_else_happened()


def test_words_of_others_than_the_given_attempts_are_ignored() -> None:
    bench = running()
    says(bench, 1, 1, 0.1)
    says(bench, 1, 0, 0.1, attempt=0)
    says(bench, 9, 0, 0.1)
    bench.happens(ExecutorProgressed(1, 2, 0, 1, TaskProgress(0.1)))
    bench.nothing_else_happened()


def test_of_a_task_that_ended_meanwhile_nothing_more_is_told() -> None:
    bench = running()
    says(bench, 1, 0, 0.1)
    tells(bench, (0, 0.1))
    says(bench, 1, 0, 0.2)
    bench.finishes(1, 0)
    bench.take(ReportDone)
    says(bench, 1, 0, 0.3)
    bench.passes(0.5)
    bench.nothing_else_happened()
    expect(bench.machine.state.progress, {})


def test_of_a_cancelled_task_nothing_more_is_told() -> None:
    bench = running()
    says(bench, 1, 0, 0.1)
    tells(bench, (0, 0.1))
    says(bench, 1, 0, 0.2)
    bench.cancels(0)
    bench.kills(1)
    says(bench, 1, 0, 0.3)
    bench.passes(0.5)
    bench.nothing_else_happened()


def test_what_a_task_said_goes_before_the_end_of_its_process() -> None:
    bench = Bench(cpus=1)
    bench.computes(Given(0))
    bench.runs(0, 0)
    says(bench, 0, 0, 0.1)
    tells(bench, (0, 0.1))
    says(bench, 0, 0, 0.9)
    bench.happens(ExecutorEnded(0, None, 9, 1))
    tells(bench, (0, 0.9))
    assert isinstance(bench.take(Tell).message, Failed)


def test_what_an_executor_says_is_made_plausible() -> None:
    assert plausible_progress(TaskProgress(float("nan"), "x" * 1000)) == TaskProgress(0.0, "x" * MAX_PROGRESS_TEXT)
    assert plausible_progress(TaskProgress(float("inf"))) == TaskProgress(1.0)
    done = plausible_done(TaskDone(1, 0, 1, (Produced(1),), TaskNote(progress=TaskProgress(-3.0))))
    assert done.note == TaskNote(progress=TaskProgress(0.0))
