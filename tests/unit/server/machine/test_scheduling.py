"""Who gets which tasks, and how many ahead."""

from __future__ import annotations

from rain.core.resources import UNIT, Offer, Request
from rain.protocol.client import OpenSession, Submit
from rain.protocol.columns import pack
from rain.server.machine.events import ClientSaid
from rain.server.machine.rooms import unused_kinds
from rain.server.machine.stages import ASSIGNED, READY, WAITING
from tests.unit.server.machine.bench import PLAIN, Bench, numbers, spec


def given(bench: Bench) -> dict[int, list[int]]:
    """Tasks by worker, since the last look."""
    found: dict[int, list[int]] = {}
    for sent in bench.computes():
        found.setdefault(sent.worker, []).extend(numbers("I", sent.compute.task))
    bench.ignore()
    return found


def test_tasks_of_unknown_duration_are_not_given_ahead() -> None:
    bench = Bench()
    bench.worker_joins(cpus=2)
    bench.tasks(100)
    bench.submit()
    assert given(bench) == {1: [0, 1]}


def test_short_tasks_are_given_ahead_ever_more_up_to_what_keeps_the_worker_busy() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=2)
    bench.tasks(5000)
    bench.submit()
    sizes = []
    for _ in range(12):
        tasks = given(bench)[worker]
        sizes.append(len(tasks))
        bench.finishes(worker, *tasks, us=1000)
    assert sizes[:4] == [2, 4, 6, 10]
    assert max(sizes) == 2 + 2 * 50


def test_tasks_of_seconds_are_given_one_at_a_time() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=1)
    bench.tasks(100)
    bench.submit()
    for task in range(3):
        assert given(bench) == {worker: [task]}
        bench.finishes(worker, task, us=3_000_000)


def test_the_last_tasks_are_not_given_ahead() -> None:
    bench = Bench()
    first, second = bench.worker_joins(), bench.worker_joins()
    bench.tasks(8)
    bench.submit()
    tasks = given(bench)
    bench.finishes(first, *tasks[first], us=10)
    assert given(bench) == {first: [2, 3]}
    bench.finishes(first, 2, 3, us=10)
    assert given(bench) == {first: [4]}
    assert bench.machine.state.workers[second].outstanding == {0: 1}


def test_independent_tasks_are_split_by_slots_in_runs_of_neighbours() -> None:
    bench = Bench()
    bench.worker_joins(cpus=1)
    bench.worker_joins(cpus=3)
    bench.tasks(100)
    bench.submit()
    assert given(bench) == {1: [0], 2: [1, 2, 3]}


def test_a_task_goes_where_most_of_its_input_bytes_are() -> None:
    bench = Bench()
    bench.worker_joins(cpus=4)
    bench.worker_joins(cpus=4)
    first, second, third = bench.tasks(3, keep=True)
    bench.submit()
    for task, size in ((first, 9000), (second, 9000), (third, 100_000)):
        bench.finishes(bench.session.tasks.worker[task.task], task.task, size=size, us=10_000_000)
    home = bench.session.tasks.worker[third.task]
    bench.ignore()
    for _ in range(3):
        reader = bench.task(first.out, second.out, third.out)
        bench.submit()
        assert given(bench) == {home: [reader.task]}


def test_where_the_data_is_there_may_be_no_room() -> None:
    bench = Bench()
    first = bench.worker_joins(cpus=1)
    made = bench.task(keep=True)
    bench.submit()
    bench.finishes(first, made.task, us=10_000_000)
    second = bench.worker_joins(cpus=1)
    bench.ignore()
    for _ in range(2):
        bench.task(made.out)
    bench.submit()
    assert given(bench) == {first: [1], second: [2]}


def test_higher_priorities_run_first() -> None:
    bench = Bench()
    bench.worker_joins(cpus=1)
    bench.task(spec=spec(priority=1))
    bench.task(spec=spec(priority=5))
    bench.task(spec=spec(priority=3))
    bench.submit()
    order = []
    for _ in range(3):
        ((task,),) = given(bench).values()
        order.append(task)
        bench.finishes(1, task, us=10_000_000)
    assert order == [1, 2, 0]


def test_followers_run_before_what_was_not_begun() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=1)
    roots = bench.tasks(3)
    reader = bench.task(roots[0].out, spec=PLAIN)
    bench.submit()
    bench.ignore()
    bench.finishes(worker, 0, us=10_000_000)
    assert given(bench) == {worker: [reader.task]}


def test_large_and_small_requests_share_a_worker_and_neither_starves() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=4)
    for _ in range(50):
        bench.task()
        bench.task(spec=spec(cpus=4))
    bench.submit()
    served = {0: 0, 1: 0}
    for _ in range(10):
        tasks = given(bench)[worker]
        kinds = [bench.session.tasks.spec[task] for task in tasks]
        assert len(tasks) <= 5
        for kind in kinds:
            served[kind] += 1
        bench.finishes(worker, *tasks, us=10_000_000)
    assert served[0] >= 10
    assert served[1] >= 10


def test_tasks_go_to_the_workers_that_they_fill_and_large_ones_stay_free() -> None:
    bench = Bench()
    large, small, other = (bench.worker_joins(cpus=cpus) for cpus in (4, 1, 1))
    bench.tasks(2)
    big = bench.task(spec=spec(cpus=4))
    bench.submit()
    assert {worker: len(tasks) for worker, tasks in given(bench).items()} == {large: 1, small: 1, other: 1}
    assert bench.session.tasks.worker[big.task] == large


def test_what_a_task_does_not_ask_for_is_left_to_those_that_do() -> None:
    offer = Offer(cpus=4 * UNIT, gpus=UNIT, named=(("disk", UNIT), ("license", UNIT)))
    assert unused_kinds(offer, Request()) == 3
    assert unused_kinds(offer, Request(gpus=UNIT, named=(("license", 1),))) == 1
    assert unused_kinds(Offer(cpus=UNIT), Request()) == 0


def test_sessions_take_turns() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=2)
    bench.tasks(20)
    columns = {"spec": pack("I", [0] * 20), "first_output": pack("I", range(20)), "n_inputs": pack("I", [0] * 20)}
    other = Submit(
        session=2,
        first_spec=0,
        specs=(PLAIN,),
        first_task=0,
        n_tasks=20,
        args_size=pack("I", [0] * 20),
        first_object=0,
        n_objects=20,
        **columns,
    )
    bench.happens(ClientSaid(1, OpenSession(1)))
    bench.happens(ClientSaid(1, bench.part(last=True)), ClientSaid(1, other))
    sessions = [sent.compute.session for sent in bench.computes()]
    assert sorted(sessions) == [1, 2]
    assert bench.machine.state.workers[worker].outstanding == {0: 2}


def test_a_chain_of_short_tasks_goes_to_one_worker_ahead_of_its_inputs() -> None:
    bench = Bench()
    bench.worker_joins(cpus=1)
    bench.worker_joins(cpus=1)
    last = bench.task()
    for _ in range(9):
        last = bench.task(last.out)
    bench.submit()
    ((worker, tasks),) = given(bench).items()
    assert tasks == [0]
    batches = []
    while bench.session.unfinished:
        bench.finishes(worker, *tasks, us=1000)
        found = given(bench)
        assert set(found) <= {worker}
        tasks = found.get(worker, [])
        batches.append(tasks)
    assert batches == [[1, 2, 3], [4, 5, 6, 7, 8], [9], []]


def test_a_task_that_joins_two_workers_does_not_follow_ahead() -> None:
    bench = Bench()
    first, second = bench.worker_joins(cpus=1), bench.worker_joins(cpus=1)
    warm = bench.tasks(2)
    bench.submit()
    for task in warm:
        bench.finishes(bench.session.tasks.worker[task.task], task.task, us=1000)
    left, right = bench.tasks(2)
    join = bench.task(left.out, right.out)
    bench.ignore()
    bench.submit()
    assert {worker: len(tasks) for worker, tasks in given(bench).items()} == {first: 1, second: 1}
    assert bench.stages()[join.task] == WAITING


def test_a_suspect_worker_gets_nothing_until_it_speaks() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=1)
    bench.time_passes(7)
    bench.tasks(1)
    bench.ignore()
    bench.submit()
    assert bench.stages() == [READY]
    bench.finishes(worker, 0, attempt=5)
    assert bench.stages() == [ASSIGNED]
