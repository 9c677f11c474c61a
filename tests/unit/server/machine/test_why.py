"""Why a task is not done: what `rain why` says in each stage of a task."""

from __future__ import annotations

from rain.core.failure import Cause, Failure
from rain.core.ids import NONE
from rain.protocol.client import RequestFailed
from rain.protocol.queries import QueryWhy, Why
from rain.server.machine.why import explain
from tests.unit.server.machine.bench import Bench, spec


def why(bench: Bench, task: int) -> tuple[str, ...]:
    return explain(bench.machine.state, bench.session, task)


def test_a_task_without_its_inputs_names_them_and_who_makes_them() -> None:
    bench = Bench()
    bench.worker_joins()
    first, second = bench.tasks(2)
    reader = bench.task(first.out, second.out, first.out)
    bench.submit()
    assert why(bench, reader.task) == (
        "s1.t2 'f' waits for inputs:",
        "missing: s1.o0 of s1.t0 'f', which is running on w1",
        "missing: s1.o1 of s1.t1 'f', which is waiting",
    )


def test_of_many_missing_inputs_a_few_are_named() -> None:
    bench = Bench()
    reader = bench.task(*[made.out for made in bench.tasks(9)])
    bench.submit()
    assert why(bench, reader.task)[-1] == "missing: 4 more"


def test_a_task_that_no_worker_can_run_tells_what_it_needs_and_what_there_is() -> None:
    bench = Bench()
    big = bench.task(spec=spec(cpus=4))
    bench.submit()
    assert why(bench, big.task)[0].endswith("no worker can run it: needed is cpus=4, no worker is connected")
    bench.worker_joins(2)
    assert why(bench, big.task)[0].endswith("needed is cpus=4, the workers are w1 with cpus=2")


def test_a_ready_task_counts_those_before_it() -> None:
    bench = Bench()
    bench.worker_joins()
    bench.tasks(5)
    urgent = bench.task(spec=spec(priority=1))
    bench.submit()
    assert why(bench, urgent.task)[0].startswith("s1.t5 'f' was given to w1")
    assert [why(bench, task)[:2] for task in (0, 4)] == [
        (
            f"s1.t{task} 'f' is ready and waits for room on w1; needed is cpus=1",
            f"ready tasks of s1 before it: {task}",
        )
        for task in (0, 4)
    ]


def test_a_ready_task_whose_workers_are_silent_says_so() -> None:
    bench = Bench()
    bench.worker_joins()
    bench.time_passes(12)
    made = bench.task()
    bench.submit()
    assert why(bench, made.task) == ("s1.t0 'f' is ready, but workers that could run it are silent: w1",)


def test_a_running_task_tells_where_and_since_when_and_what_went_before() -> None:
    bench = Bench()
    bench.worker_joins()
    made = bench.task(spec=spec(retries=1))
    bench.submit()
    bench.fails(1, made.task)
    bench.time_passes(3)
    first, room, *more = why(bench, made.task)
    assert first == "s1.t0 'f' was given to w1 3 s ago, attempt 1"
    assert room == "w1 has tasks: 1; of those with the same needs it runs 1 at once"
    assert more == ["attempts that failed before: 1", "attempt 0 failed on w1: boom"]


def test_a_finished_task_tells_where_and_how_long_it_took() -> None:
    bench = Bench()
    bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    bench.finishes(1, made.task, us=250_000)
    bench.time_passes(2)
    assert why(bench, made.task) == ("s1.t0 'f' finished on w1 2.0 s ago; its own work took 0.250 s",)


def test_a_failed_task_and_what_depends_on_it_tell_the_failure() -> None:
    bench = Bench(fail_fast=False)
    bench.worker_joins()
    made = bench.task()
    reader = bench.task(made.out)
    bench.submit()
    bench.fails(1, made.task, Failure(cause=Cause.TASK, message="ValueError: no\nand more"))
    assert why(bench, made.task) == ("s1.t0 'f' failed on w1, attempt 0: ValueError: no", "and more")
    assert why(bench, reader.task) == (
        "s1.t1 'f' was cancelled because s1.t0 'f' failed on w1, attempt 0: ValueError: no",
        "and more",
    )


def test_a_task_that_was_cancelled_says_by_whom() -> None:
    bench = Bench()
    made = bench.task()
    bench.submit()
    bench.cancels(made.task)
    assert why(bench, made.task) == ("s1.t0 'f' was cancelled by its client, or depends on a task that was",)


def test_any_client_may_ask_and_is_told_of_what_is_not_there() -> None:
    bench = Bench()
    bench.task()
    bench.submit()
    bench.ignore()
    bench.client_says(QueryWhy(7, 1, 0))
    answer = bench.answer(Why)
    assert isinstance(answer, Why)
    assert answer.request == 7
    for session, task, said in ((2, 0, "there is no session s2"), (1, 9, "s1.t9 was not submitted")):
        bench.ignore()
        bench.client_says(QueryWhy(8, session, task))
        refusal = bench.answer(RequestFailed)
        assert isinstance(refusal, RequestFailed)
        assert said in refusal.reason


def asked(
    bench: Bench, session: int = NONE, task: int = NONE, obj: int = NONE, *, refused: bool = False
) -> tuple[str, ...] | str:
    """What a client is told."""
    bench.ignore()
    bench.client_says(QueryWhy(9, session, task, obj))
    answer = bench.answer(RequestFailed if refused else Why)
    assert isinstance(answer, RequestFailed | Why)
    return answer.lines if isinstance(answer, Why) else answer.reason


def test_without_a_task_each_that_is_not_done_has_a_line_those_that_could_run_first() -> None:
    bench = Bench()
    bench.worker_joins()
    done = bench.task()
    bench.submit()
    bench.finishes(1, done.task)
    [running, other] = bench.tasks(2)
    bench.task(other.out, running.out)
    bench.task(spec=spec(cpus=64))
    bench.submit()
    lines = (
        "s1.t2 'f' is ready and waits for room on w1; needed is cpus=1",
        "s1.t4 'f' is ready, but no worker can run it: needed is cpus=64, the workers are w1 with cpus=1",
        "s1.t1 'f' was given to w1 0 s ago, attempt 0",
        "s1.t3 'f' waits for inputs: s1.o2 of s1.t2 'f', which is waiting",
    )
    assert asked(bench) == asked(bench, 1) == lines


def test_of_many_tasks_that_are_not_done_the_first_ones_have_a_line() -> None:
    bench = Bench()
    bench.tasks(50)
    bench.submit()
    lines = asked(bench)
    assert len(lines) == 21
    assert lines[-1] == "s1 has 30 more that are not done"


def test_without_a_task_that_waits_that_is_said() -> None:
    bench = Bench()
    bench.worker_joins()
    made = bench.task()
    bench.submit()
    bench.finishes(1, made.task)
    assert asked(bench) == ("no task waits: all are done",)
    assert asked(bench, 1) == ("no task of s1 waits: all are done",)


def test_of_an_object_the_task_is_explained_that_makes_it() -> None:
    bench = Bench()
    constant = bench.constant(10)
    made = bench.task(constant)
    bench.submit()
    assert asked(bench, 1, obj=made.out) == why(bench, made.task)
    assert asked(bench, 1, obj=constant) == ("s1.o0 is a constant, no task makes it",)
    assert asked(bench, 1, obj=77, refused=True) == "s1.o77 was not submitted, there are 2 objects."
