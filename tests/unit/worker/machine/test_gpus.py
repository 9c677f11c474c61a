"""Which gpus tasks get, and which executors may use them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rain.core.resources import UNIT, Request
from rain.core.spec import TaskSpec
from rain.worker.machine.gpus import GpuPool
from tests.unit.worker.machine.bench import Bench, Given, expect, spec

HALF = UNIT // 2


def fraction(amount: int) -> TaskSpec:
    """A task that asks for so many ten-thousandths of a gpu."""
    return TaskSpec(kind="python", request=Request(gpus=amount))


def test_a_worker_without_gpus_names_none() -> None:
    bench = Bench(cpus=1)
    bench.computes(0)
    expect(bench.runs(0, 0).gpus, None)


def test_a_task_that_asks_for_none_is_given_none_of_the_worker_s() -> None:
    bench = Bench(cpus=1, gpus=1)
    bench.computes(0)
    expect(bench.runs(0, 0).gpus, ())


def test_every_task_has_gpus_of_its_own() -> None:
    bench = Bench(cpus=3, gpus=3)
    bench.computes(0, Given(1, spec=1), Given(2, spec=0), specs=[spec(gpus=1), spec(gpus=2)])
    first, second = bench.runs(2, 0), bench.runs(1, 1)
    expect(set(first.gpus) | set(second.gpus), {0, 1, 2})
    expect((len(first.gpus), len(second.gpus)), (1, 2))
    bench.nothing_else_happened()
    bench.finishes(2, 0)
    bench.reports(0)
    expect(bench.runs(2, 2).gpus, first.gpus)


def test_fractions_share_a_gpu_and_leave_the_others_whole() -> None:
    bench = Bench(cpus=4, gpus=2)
    bench.computes(0, 1, Given(2, spec=1), specs=[fraction(HALF), spec(gpus=1)])
    expect([bench.runs(3, 0).gpus, bench.runs(2, 1).gpus, bench.runs(1, 2).gpus], [(0,), (0,), (1,)])


def test_what_is_free_of_two_gpus_is_not_put_together_to_one() -> None:
    bench = Bench(cpus=4, gpus=2)
    bench.computes(0, 1, 2, specs=[fraction(6000)])
    expect([bench.runs(3, 0).gpus, bench.runs(2, 1).gpus], [(0,), (1,)])
    bench.nothing_else_happened()
    bench.finishes(3, 0)
    bench.reports(0)
    expect(bench.runs(3, 2).gpus, (0,))


def test_a_process_that_once_had_gpus_is_given_no_others() -> None:
    bench = Bench(cpus=2, gpus=2)
    bench.computes(0, 1, specs=[spec(gpus=1), spec(gpus=2)])
    expect([bench.runs(1, 0).gpus, bench.runs(0, 1).gpus], [(0,), (1,)])
    bench.finishes(1, 0)
    bench.finishes(0, 1)
    bench.reports(0)
    bench.reports(1)
    bench.computes(2)
    expect(bench.runs(0, 2).gpus, (1,))
    bench.finishes(0, 2)
    bench.reports(2)
    # Each of the idle ones is bound to one gpu: a fresh one is made for the task that wants both.
    bench.computes(Given(3, spec=1))
    bench.kills(1)
    bench.nothing_else_happened()
    bench.ends(1, signal=9)
    bench.executors_start(2)
    expect(bench.runs(2, 3).gpus, (0, 1))


@given(st.lists(st.integers(1, 3 * UNIT), max_size=12), st.integers(0, 4))
def test_no_gpu_is_ever_given_twice(amounts: list[int], n_gpus: int) -> None:
    pool = GpuPool(n_gpus * UNIT)
    taken = []
    for amount in amounts:
        gpus = pool.choose(amount)
        if gpus is not None:
            assert len(set(gpus)) == len(gpus) == -(-amount // UNIT)
            pool.take(amount, gpus)
            taken.append((amount, gpus))
        assert all(0 <= left <= UNIT for left in pool.free)
    for amount, gpus in taken:
        pool.give_back(amount, gpus)
    assert pool.free == [UNIT] * n_gpus
