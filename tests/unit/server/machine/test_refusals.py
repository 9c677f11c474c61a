"""Inputs that could not be brought to a worker: whose fault that is, and where the task goes next."""

from __future__ import annotations

from rain.core.failure import Cause, Failure
from rain.protocol.client import SessionFailed
from rain.server.machine.stages import ASSIGNED, FINISHED, READY, WAITING
from tests.unit.server.machine.bench import Bench, Made, spec

FULL = "No space left on device"
LONG_US = 10_000_000
NO_ROOM = Failure(cause=Cause.ROOM, message=f"s1.o0, a result, could not be written to the worker's folder /w: {FULL}.")


def reader_beside_its_data(*, narrow: int = 1) -> tuple[Bench, Made, Made]:
    """w1 holds `made` and is busy for long; w2 was given the reader of it."""
    bench = Bench()
    bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    bench.finishes(1, made.task, us=LONG_US)
    bench.task()
    bench.submit()
    for _ in range(narrow):
        bench.worker_joins()
    reader = bench.task(made.out, keep=True)
    bench.submit()
    assert bench.session.tasks.worker[reader.task] == 2
    bench.ignore()
    return bench, made, reader


def test_a_holder_is_trusted_when_a_worker_has_no_room_for_its_object() -> None:
    bench, made, reader = reader_beside_its_data()
    bench.lacks(2, made.out, 1, reader.task, unwritten=FULL)
    assert bench.session.objects.is_held_by(made.out, 1)
    assert bench.stages() == [FINISHED, ASSIGNED, READY]
    bench.expect_nothing()


def test_a_task_waits_for_a_worker_that_holds_its_input_where_the_idle_one_has_no_room_for_it() -> None:
    bench, made, reader = reader_beside_its_data()
    bench.lacks(2, made.out, 1, reader.task, unwritten=FULL)
    bench.time_passes(5.0)
    assert bench.session.tasks.stage[reader.task] == READY
    bench.ignore()
    bench.finishes(1, 1, us=LONG_US)
    assert bench.session.tasks.worker[reader.task] == 1
    assert bench.session.tasks.stage[reader.task] == ASSIGNED


def test_a_task_goes_to_another_idle_worker_when_one_has_no_room_for_its_input() -> None:
    bench, made, reader = reader_beside_its_data(narrow=2)
    bench.lacks(2, made.out, 1, reader.task, unwritten=FULL)
    bench.expect("w3 computes t2")


def test_a_task_whose_input_has_room_nowhere_fails_and_says_why() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    large = bench.constant(1 << 20, keep=True, inline=True)
    bench.task(large)
    bench.submit()
    for _ in range(6):
        assert bench.session.failed_reason is None
        bench.lacks(worker, large, 0, 0, unwritten=FULL)
    told = bench.answer(SessionFailed)
    assert isinstance(told, SessionFailed)
    assert told.failure is not None
    assert told.failure.cause is Cause.INPUT
    assert told.reason == (
        "s1.o0, an input of s1.t0, could not be written at w1: No space left on device. It was tried 6 times, at w1."
    )


def test_workers_that_deny_an_input_and_leave_are_not_held_against_the_task() -> None:
    bench = Bench()
    n_holders = 8
    for _ in range(n_holders):
        bench.worker_joins()
    made = bench.tasks(n_holders, keep=True)
    bench.submit()
    tasks = bench.session.tasks
    for each in made:
        bench.finishes(tasks.worker[each.task], each.task, us=LONG_US)
    wide = bench.worker_joins(cpus=2)
    reader = bench.task(*[each.out for each in made], keep=True, spec=spec(cpus=2))
    bench.submit()
    for _ in range(n_holders):
        assert (tasks.stage[reader.task], tasks.worker[reader.task]) == (ASSIGNED, wide)
        lost = next(each for each in made if bench.session.objects.holder[each.out] != wide)
        holder = bench.session.objects.holder[lost.out]
        bench.lacks(wide, lost.out, holder, reader.task)
        bench.worker_leaves(holder)
        while bench.session.unfinished > 1:
            task = tasks.stage.index(ASSIGNED)
            bench.finishes(tasks.worker[task], task, us=LONG_US)
    assert bench.session.failed_reason is None


def test_a_task_does_not_follow_another_one_to_a_worker_that_has_no_room_for_its_other_input() -> None:
    bench = Bench()
    bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    bench.finishes(1, made.task, us=1000)
    bench.task()
    bench.submit()
    second = bench.worker_joins()
    bench.machine.state.workers[second].depth[0] = 1
    beside = bench.task(keep=True)
    reader = bench.task(made.out, beside.out, keep=True)
    bench.submit()
    tasks = bench.session.tasks
    assert (tasks.worker[beside.task], tasks.worker[reader.task]) == (second, second)
    bench.lacks(second, made.out, 1, reader.task, unwritten=FULL)
    bench.time_passes(0.2)
    assert tasks.stage[reader.task] == WAITING


def test_a_task_for_whose_result_a_worker_has_no_room_is_tried_at_another_one() -> None:
    bench = Bench()
    first, second = bench.worker_joins(), bench.worker_joins(cpus=2)
    bench.task(keep=True, spec=spec(cpus=1))
    bench.submit()
    full = bench.session.tasks.worker[0]
    bench.ignore()
    bench.fails(full, 0, NO_ROOM)
    other = second if full == first else first
    bench.expect(f"w{other} computes t0")
    assert bench.session.tasks.attempt[0] == 1
    bench.finishes(other, 0)
    assert bench.stages() == [FINISHED]


def test_a_result_without_room_does_not_count_as_one_of_the_task_s_retries() -> None:
    bench = Bench()
    bench.worker_joins()
    bench.worker_joins()
    bench.task(keep=True, spec=spec(retries=1))
    bench.submit()
    bench.fails(bench.session.tasks.worker[0], 0, NO_ROOM)
    bench.fails(bench.session.tasks.worker[0], 0)
    assert bench.stages() == [ASSIGNED]


def test_a_task_for_whose_result_there_is_room_nowhere_fails_and_names_where_it_was_tried() -> None:
    bench = Bench()
    workers = [bench.worker_joins() for _ in range(3)]
    bench.worker_joins(cpus=1)
    bench.task(keep=True)
    bench.submit()
    tried = []
    while bench.session.failed_reason is None:
        tried.append(bench.session.tasks.worker[0])
        bench.fails(tried[-1], 0, NO_ROOM)
    assert sorted(tried) == [*workers, 4]
    message = bench.answer(SessionFailed)
    assert isinstance(message, SessionFailed)
    assert message.reason == (
        f"s1.o0, a result, could not be written to the worker's folder /w: {FULL}. The disks of w1, w2, w3, w4 are "
        "full, and there is no other worker to try it on; make room, or start another worker."
    )
    assert message.failure is not None
    assert message.failure.cause is Cause.ROOM


def test_a_full_disk_that_all_workers_share_is_not_tried_by_ever_so_many() -> None:
    bench = Bench()
    for _ in range(9):
        bench.worker_joins()
    bench.task(keep=True)
    bench.submit()
    n_tried = 0
    while bench.session.failed_reason is None:
        bench.fails(bench.session.tasks.worker[0], 0, NO_ROOM)
        n_tried += 1
    assert n_tried == 6
