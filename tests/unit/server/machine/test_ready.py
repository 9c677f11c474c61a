"""Queues of runs."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from rain.server.machine.ready import ReadyQueue, ReadyTasks, RunQueue
from rain.server.machine.stages import ASSIGNED, READY, WAITING


@given(st.lists(st.integers(0, 40), unique=True), st.integers(1, 7))
def test_a_run_queue_gives_back_what_was_put_in_in_order(numbers: list[int], limit: int) -> None:
    queue = RunQueue()
    for number in numbers:
        queue.push_run(number, number + 1)
    assert queue.count == len(numbers)
    found: list[int] = []
    while run := queue.pop(limit):
        assert len(run) <= limit
        found += run
    assert found == numbers
    assert queue.count == 0


def test_neighbours_are_one_run() -> None:
    queue = ReadyQueue(0, 0)
    queue.push(array("I", [3, 4, 5, 9]), reads_results=False)
    queue.push_run(10, 20)
    assert queue.runs() == [range(3, 6), range(9, 20)]


def test_what_is_not_ready_any_more_is_skipped_and_nothing_is_taken_twice() -> None:
    stage = bytearray([READY, WAITING, READY, ASSIGNED, READY])
    queue = ReadyQueue(0, 0)
    queue.push_run(0, 5)
    queue.push(array("I", [0]), reads_results=True)
    assert list(queue.take(10, stage)) == [0, 2, 4]
    assert stage == bytearray([ASSIGNED, WAITING, ASSIGNED, ASSIGNED, ASSIGNED])
    assert len(queue) == 0


def test_queues_come_by_falling_priority() -> None:
    ready = ReadyTasks()
    for priority in (1, 5, -3):
        ready.queue(0, priority).push_run(0, 1)
    ready.queue(1, 9)
    assert [queue.priority for queue in ready.queues()] == [5, 1, -3]
