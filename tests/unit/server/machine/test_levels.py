"""B-levels: exact after a submit, raised by later ones, worked out anew when durations are learned."""

from __future__ import annotations

from random import Random

import pytest

from rain.server.machine.levels import N_BUCKETS, bucket_of, expected_us
from rain.server.machine.stages import FINISHED
from tests.unit.server.machine.bench import Bench, spec

PRIOR_US = 100_000.0


def exact_levels(bench: Bench) -> list[float]:
    """By definition, from the durations that are assumed now."""
    session = bench.session
    tasks, own = session.tasks, session.levels.own_us
    levels = [0.0] * len(tasks)
    for task in reversed(range(len(tasks))):
        levels[task] += own[tasks.spec[task]]
        for obj in tasks.inputs_of(task):
            maker = session.objects.producer[obj]
            levels[maker] = max(levels[maker], levels[task])
    return levels


def test_a_level_is_the_longest_way_to_the_end() -> None:
    bench = Bench()
    first = bench.task()
    left, right = bench.task(first.out), bench.task(first.out)
    more = bench.task(left.out)
    bench.task(more.out, right.out)
    bench.submit()
    assert list(bench.session.tasks.level) == pytest.approx([PRIOR_US * n for n in (4, 3, 2, 2, 1)])


def test_buckets_rise_with_levels_and_are_bounded() -> None:
    levels = [0.0, 0.5, 1.0, 2.0, 1e3, 1.25e3, 1e6, 1e12, 1e30]
    buckets = [bucket_of(level) for level in levels]
    assert buckets == sorted(buckets)
    assert buckets[4] + 1 == buckets[5]
    assert buckets[-1] == N_BUCKETS - 1


def test_a_chain_that_grows_task_by_task_has_the_levels_of_one_that_came_at_once() -> None:
    bench = Bench()
    last = bench.task()
    bench.submit()
    for _ in range(200):
        last = bench.task(last.out)
        bench.submit()
    while bench.session.levels.is_stale or bench.session.levels.cursor >= 0:
        bench.unkeeps()
    assert list(bench.session.tasks.level) == pytest.approx(exact_levels(bench), rel=1e-3)


def test_what_a_submit_raises_is_bounded_and_a_sweep_does_the_rest() -> None:
    bench = Bench()
    bench.task()
    for obj in range(999):
        bench.task(obj)
    bench.submit()
    bench.task(999)
    bench.submit()
    level = bench.session.tasks.level
    assert level[999] == pytest.approx(2 * PRIOR_US)
    assert level[0] == pytest.approx(1000 * PRIOR_US)
    assert bench.session.levels.cursor > 0
    for _ in range(20):
        bench.unkeeps()
    assert level[0] == pytest.approx(1001 * PRIOR_US)


def test_ready_tasks_run_in_the_order_of_what_was_learned() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=1)
    quick, slow = spec(name="quick"), spec(name="slow")
    bench.task(spec=slow)
    for _ in range(3):
        bench.task(spec=quick)
    bench.task(spec=slow)
    bench.submit()
    order = []
    while bench.session.unfinished:
        (task,) = [task for task, stage in enumerate(bench.stages()) if stage == 2]
        order.append(task)
        bench.finishes(worker, task, us=10_000_000 if bench.session.tasks.spec[task] == 0 else 3_000_000)
    assert order == [0, 1, 4, 2, 3]


@pytest.mark.parametrize("seed", range(10))
def test_at_rest_levels_are_exact_however_the_graph_came(seed: int) -> None:
    random = Random(seed)
    bench = Bench()
    workers = [bench.worker_joins(cpus=2) for _ in range(2)]
    specs = [spec(name=name) for name in "abc"]
    made: list[int] = []
    for _ in range(6):
        for _ in range(random.randint(1, 25)):
            reads = random.sample(made, min(len(made), random.choice((0, 1, 1, 2, 3))))
            made.append(bench.task(*reads, spec=random.choice(specs), keep=True).out)
        bench.submit()
        for worker in workers:
            running = [task for task, stage in enumerate(bench.stages()) if stage == 2]
            for task in running[:2]:
                if bench.session.tasks.worker[task] == worker:
                    us = (1000, 50_000, 2_000_000)[bench.session.tasks.spec[task]]
                    bench.finishes(worker, task, us=us)
    for _ in range(50):
        bench.unkeeps()
    assert not bench.session.levels.is_stale
    assert bench.session.levels.cursor < 0
    exact = exact_levels(bench)
    for task, stage in enumerate(bench.stages()):
        if stage != FINISHED:
            assert bench.session.tasks.level[task] == pytest.approx(exact[task], rel=1e-3)
    known = expected_us(bench.session, 0)
    assert known in (1000.0, bench.session.levels.unknown_us)
