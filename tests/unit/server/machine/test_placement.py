"""Where tasks go that read large data, by what it costs to wait and to move."""

from __future__ import annotations

import pytest

from rain.protocol.columns import pack
from rain.protocol.worker import Fetched
from rain.server.machine.stages import ASSIGNED, READY
from tests.unit.server.machine.bench import Bench, Made, numbers, spec

#: At a bandwidth of 250 MB/s, which is assumed at first, four seconds.
GIGABYTE = 1_000_000_000


def warm(bench: Bench, worker: int, seconds: float) -> None:
    """Tasks of the bench are known to take so long."""
    made = bench.task()
    bench.submit()
    bench.finishes(worker, made.task, us=int(seconds * 1e6))


def big(bench: Bench, worker: int, size: int = GIGABYTE, seconds: float = 1) -> Made:
    """An object of this size that the worker holds."""
    made = bench.task(keep=True)
    bench.submit()
    bench.finishes(worker, made.task, size=size, us=int(seconds * 1e6))
    return made


def where(bench: Bench) -> dict[int, int]:
    """Worker by task, of tasks that are assigned."""
    tasks = bench.session.tasks
    return {task: tasks.worker[task] for task, stage in enumerate(tasks.stage) if stage == ASSIGNED}


def test_a_task_waits_for_the_worker_that_holds_its_data_where_to_move_takes_longer() -> None:
    bench = Bench()
    home = bench.worker_joins()
    data = big(bench, home)
    running, reader = bench.task(data.out), bench.task(data.out)
    bench.submit()
    other = bench.worker_joins()
    assert where(bench) == {running.task: home}
    assert bench.stages()[reader.task] == READY
    bench.finishes(home, running.task, us=1_000_000)
    assert where(bench) == {reader.task: home}
    assert not bench.machine.state.workers[other].incoming


def test_only_as_many_wait_as_gain_by_it() -> None:
    bench = Bench()
    home, other = bench.worker_joins(), bench.worker_joins(cpus=1)
    data = big(bench, home, seconds=5)
    readers = [bench.task(data.out) for _ in range(3)]
    bench.submit()
    # Four seconds to move, and as many again that others wait for the network, are less than to wait for two tasks.
    assert where(bench) == {readers[0].task: home, readers[2].task: other}
    assert bench.machine.state.workers[other].incoming_bytes == GIGABYTE
    assert bench.machine.state.workers[home].outgoing_bytes == GIGABYTE


def test_data_moves_while_the_slots_are_busy() -> None:
    bench = Bench()
    home = bench.worker_joins()
    data = big(bench, home, seconds=3)
    bench.happens()
    full = bench.worker_joins(cpus=1)
    bench.task(data.out)
    running = bench.task()
    bench.submit()
    assert where(bench)[running.task] == full
    bench.drains(home)
    bench.ignore()
    reader = bench.task(data.out)
    bench.submit()
    assert where(bench)[reader.task] == full
    (sent,) = bench.computes()
    assert numbers("I", sent.compute.source) == [data.out]


def test_a_worker_that_is_late_is_not_waited_for() -> None:
    bench = Bench()
    home = bench.worker_joins()
    data = big(bench, home)
    running, reader = bench.task(data.out), bench.task(data.out)
    bench.submit()
    other = bench.worker_joins()
    for _ in range(30):
        bench.time_passes(1.0)
        for worker in (home, other):
            bench.worker_says(worker, Fetched(1, pack("I", [])))
    assert where(bench) == {running.task: home, reader.task: other}


def test_bytes_that_are_under_way_to_a_worker_count_as_there() -> None:
    bench = Bench()
    home = bench.worker_joins()
    data = big(bench, home, seconds=30)
    bench.worker_joins(cpus=2)
    bench.worker_joins(cpus=2)
    readers = [bench.task(data.out) for _ in range(3)]
    bench.submit()
    first, *others = (where(bench)[reader.task] for reader in readers)
    assert first == home
    assert len(set(others)) == 1


def test_what_arrives_tells_the_bandwidth() -> None:
    bench = Bench()
    home = bench.worker_joins()
    data = big(bench, home)
    home_state = bench.machine.state.workers[home]
    bench.worker_joins(cpus=1)
    bench.task(data.out, spec=spec(priority=3))
    bench.drains(home)
    bench.submit()
    (other,) = [worker for worker in bench.machine.state.workers.values() if worker.incoming]
    bench.now += 10.0
    bench.worker_says(other.number, Fetched(1, pack("I", [data.out])))
    assert (other.incoming_bytes, home_state.outgoing_bytes) == (0, 0)
    assert bench.machine.state.bandwidth == pytest.approx(1.1e8, rel=0.1)


def test_large_tasks_that_are_more_important_are_not_kept_waiting_by_small_ones() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=4)
    large = spec(cpus=4, name="large")
    for _ in range(12):
        bench.task(bench.task(bench.task(spec=large).out, spec=large).out, spec=large)
        bench.task()
    bench.submit()
    for _ in range(4):
        running = list(where(bench))
        assert [task for task in running if bench.session.tasks.spec[task] == 0]
        bench.finishes(worker, *running, us=10_000_000)
    assert bench.stages()[3::4] == [READY] * 12
