"""Tasks end, inputs come or cannot be had."""

from __future__ import annotations

from array import array

from rain.core.failure import Cause, Failure
from rain.protocol.columns import unpack
from rain.protocol.executor import Produced, TaskDone, TaskFailed
from rain.protocol.worker import MAX_INLINE_RESULT, Failed, Unavailable
from rain.worker.machine.effects import ReportDone, Tell
from rain.worker.machine.events import ExecutorReported, InputsUnavailable
from tests.unit.worker.machine.bench import Bench, Given, Source, spec


def test_a_report_has_a_column_for_everything() -> None:
    bench = Bench(cpus=1)
    bench.computes(Given(4, first_output=20), specs=[spec(n_outputs=2)])
    bench.runs(0, 4)
    outputs = (Produced(size=MAX_INLINE_RESULT), Produced(size=MAX_INLINE_RESULT + 1, content_type="text"))
    bench.happens(ExecutorReported(0, 1, (TaskDone(4, 1, 77, outputs),), ()))
    report = bench.reports(4)
    done = report.done
    assert list(unpack("I", done.attempt, "attempt")) == [1]
    assert list(unpack("I", done.duration_us, "duration_us")) == [77]
    assert list(unpack("Q", done.size, "size")) == [MAX_INLINE_RESULT, MAX_INLINE_RESULT + 1]
    assert list(unpack("B", done.inline, "inline")) == [1, 0]
    assert done.content_types == ((1, 1, "text"),)
    assert list(report.objects) == [20, 21]
    assert report.urgent
    bench.nothing_else_happened()


def test_reports_of_one_call_are_joined_per_session() -> None:
    bench = Bench(cpus=3)
    bench.computes(0, 1)
    bench.computes(0, session=2)
    for executor, task, session in [(2, 0, 1), (1, 1, 1), (0, 0, 2)]:
        bench.runs(executor, task, session=session)
    bench.happens(bench.finished(2, 0), bench.finished(0, 0, session=2), bench.finished(1, 1))
    bench.reports(0, 1)
    bench.reports(0, session=2)
    bench.nothing_else_happened()


def test_an_output_that_is_an_input_passed_on_counts_as_present() -> None:
    bench = Bench(cpus=1)
    bench.computes(Given(0, inputs=(90,)), Given(1, inputs=(0,)), sources=[Source(90, inline=True)])
    bench.runs(0, 0)
    done = TaskDone(0, 1, 9_000, (Produced(size=5, same_as_input=0),))
    bench.happens(ExecutorReported(0, 1, (done,), ()))
    bench.runs(0, 1)
    bench.reports(0)
    bench.nothing_else_happened()


def test_a_report_is_urgent_only_when_nothing_is_queued_and_nothing_short_runs() -> None:
    bench = Bench(cpus=1)
    bench.computes(0, 1, 2)
    bench.runs(0, 0)
    bench.finishes(0, 0, duration_us=10)
    assert not bench.reports(0).urgent
    bench.runs(0, 1, 2)
    bench.finishes(0, 1, duration_us=10)
    assert not bench.reports(1).urgent
    bench.finishes(0, 2, duration_us=10)
    assert bench.reports(2).urgent
    bench.nothing_else_happened()


def test_a_long_task_elsewhere_does_not_hold_a_report_back() -> None:
    bench = Bench(cpus=2)
    bench.computes(0, 1)
    bench.runs(1, 0)
    bench.runs(0, 1)
    bench.finishes(1, 0)
    assert bench.reports(0).urgent


def test_a_failure_is_told_after_the_reports_before_it() -> None:
    bench = Bench(cpus=2)
    bench.computes(0, 1, Given(2, inputs=(1,)))
    bench.runs(1, 0)
    bench.runs(0, 1)
    failed = TaskFailed(1, 1, 10, _failure())
    bench.happens(bench.finished(1, 0), ExecutorReported(0, 1, (), (failed,)))
    assert [type(effect) for effect in bench._effects] == [ReportDone, Tell]
    bench.reports(0)
    assert bench.tells_failed(1).cause is Cause.TASK
    bench.nothing_else_happened()


def test_tasks_that_wait_for_a_failed_one_stay_until_the_server_cancels_them() -> None:
    bench = Bench(cpus=1)
    bench.computes(0, Given(1, inputs=(0,)))
    bench.runs(0, 0)
    bench.raises(0, 0)
    bench.tells_failed(0)
    bench.nothing_else_happened()
    bench.cancels(1)
    bench.nothing_else_happened()
    assert not bench.machine.state.sessions[1].tasks


def test_a_second_attempt_here_serves_those_that_waited_for_the_first() -> None:
    bench = Bench(cpus=1)
    bench.computes(0, Given(1, inputs=(0,)))
    bench.runs(0, 0)
    bench.raises(0, 0)
    bench.tells_failed(0)
    bench.computes(Given(0, attempt=2))
    bench.runs(0, 0)
    bench.finishes(0, 0, attempt=2)
    bench.runs(0, 1)
    bench.reports(0)
    bench.nothing_else_happened()


def test_a_report_of_a_task_that_the_executor_was_not_given_is_ignored() -> None:
    bench = Bench(cpus=1)
    bench.computes(0)
    bench.runs(0, 0)
    bench.finishes(0, 33)
    bench.finishes(0, 0, attempt=9)
    bench.finishes(0, 0, session=2)
    bench.finishes(55, 0)
    bench.nothing_else_happened()
    bench.finishes(0, 0)
    bench.reports(0)
    bench.finishes(0, 0)
    bench.nothing_else_happened()


def test_a_wrong_number_of_outputs_is_a_failure() -> None:
    bench = Bench(cpus=1)
    bench.computes(0)
    bench.runs(0, 0)
    bench.finishes(0, 0, n_outputs=2)
    assert bench.tells_failed(0).message == "the process that ran it reported 2 outputs, expected 1"
    bench.discards(0)
    bench.nothing_else_happened()


def test_inputs_that_nobody_ordered_are_removed() -> None:
    bench = Bench()
    bench.arrive(90)
    bench.discards(90)
    bench.computes(0)
    bench.runs(1, 0)
    bench.arrive(90)
    bench.discards(90)
    bench.nothing_else_happened()


def test_an_object_that_came_inline_while_it_was_fetched_is_kept_once() -> None:
    bench = Bench()
    bench.computes(Given(0, inputs=(90,)), sources=[Source(90)])
    bench.fetches(90)
    bench.computes(Given(1, inputs=(90,)), sources=[Source(90, inline=True)])
    bench.runs(1, 0)
    bench.runs(0, 1)
    bench.arrive(90)
    bench.nothing_else_happened()


def test_a_failed_fetch_of_an_object_that_came_otherwise_is_no_loss() -> None:
    bench = Bench()
    bench.computes(Given(0, inputs=(90,)), sources=[Source(90)])
    bench.fetches(90)
    bench.computes(1, sources=[Source(90, inline=True)])
    bench.runs(1, 0)
    bench.runs(0, 1)
    bench.cannot_be_had(90)
    bench.nothing_else_happened()


def test_inputs_that_cannot_be_had_give_all_tasks_that_wait_for_them_back() -> None:
    bench = Bench()
    tasks = [Given(0, inputs=(90,)), Given(1, inputs=(90, 91)), Given(2, inputs=(91,)), Given(3, inputs=(0,)), 4]
    bench.computes(*tasks, sources=[Source(90), Source(91)])
    bench.runs(1, 4)
    bench.fetches(90, 91)
    bench.cannot_be_had(90)
    bench.gives_back(0, 1, lost=[90])
    bench.nothing_else_happened()
    bench.arrive(91)
    bench.tells_fetched(91)
    bench.runs(0, 2)
    bench.nothing_else_happened()


def test_a_task_that_was_given_back_may_come_again_with_the_same_attempt() -> None:
    bench = Bench()
    bench.computes(Given(0, inputs=(90,)), sources=[Source(90)])
    bench.fetches(90)
    bench.cannot_be_had(90)
    bench.gives_back(0, lost=[90])
    bench.computes(Given(0, inputs=(90,)), sources=[Source(90, holder=5)])
    bench.fetches(90, holder=5)
    bench.cannot_be_had(90, holder=3)
    bench.nothing_else_happened()
    bench.arrive(90)
    bench.tells_fetched(90)
    bench.runs(1, 0)
    bench.nothing_else_happened()


def test_unavailability_is_told_even_when_no_task_waits_any_more() -> None:
    bench = Bench()
    bench.computes(Given(0, inputs=(90,)), sources=[Source(90)])
    bench.fetches(90)
    bench.cancels(0)
    bench.cannot_be_had(90)
    bench.gives_back(lost=[90])
    bench.nothing_else_happened()


def test_answers_to_fetches_of_a_closed_session_change_nothing() -> None:
    bench = Bench()
    bench.computes(Given(0, inputs=(90, 91)), sources=[Source(90), Source(91)])
    bench.fetches(90, 91)
    bench.ends_session()
    bench.closes_store()
    bench.cannot_be_had(90)
    bench.arrive(91)
    bench.discards(91)
    bench.nothing_else_happened()


def test_failed_news_carries_the_failure_as_the_executor_said_it() -> None:
    bench = Bench(cpus=1)
    bench.computes(0)
    bench.runs(0, 0)
    failure = _failure()
    bench.happens(ExecutorReported(0, 1, (), (TaskFailed(0, 1, 10, failure),)))
    assert bench.take(Tell).message == Failed(1, 0, 1, failure, duration_us=10)
    bench.nothing_else_happened()


def _failure() -> Failure:
    return Failure(cause=Cause.TASK, message="ValueError: no", traceback="...", stderr="oh")


def test_the_server_hears_why_an_input_could_not_be_written() -> None:
    bench = Bench()
    bench.computes(Given(0, inputs=(90,)), sources=[Source(90)])
    bench.fetches(90)
    bench.happens(InputsUnavailable(1, 3, array("I", [90]), "No space left on device"))
    message = bench.take(Tell).message
    assert isinstance(message, Unavailable)
    assert (list(unpack("I", message.objects, "objects")), message.unwritten) == ([90], "No space left on device")
    bench.nothing_else_happened()
