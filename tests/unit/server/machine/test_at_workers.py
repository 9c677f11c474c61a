"""What is listed of each worker: tasks that it was given, objects that it holds, fetches or is making."""

from __future__ import annotations

import pytest

from rain.server.machine import at_workers as module
from rain.server.machine.at_workers import at_workers
from tests.unit.server.machine.bench import Bench, spec


def test_what_a_worker_holds_comes_first_then_what_it_fetches_and_makes() -> None:
    bench = Bench()
    first = bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    bench.finishes(first, made.task)
    second = bench.worker_joins(cpus=18)
    constant = bench.constant()
    readers = [bench.task(made.out, constant, spec=spec(cpus=9)) for _ in range(2)]
    bench.submit()
    found = at_workers(bench.machine.state)
    assert (found[first].objects, found[first].tasks, found[first].n_coming) == ([(1, made.out)], [], 0)
    assert found[second].tasks == [(1, each.task) for each in readers]
    # The constant came with the tasks; what both of them read is fetched once.
    expected = [constant, made.out, readers[0].out, readers[1].out]
    assert (found[second].objects, found[second].n_coming) == ([(1, obj) for obj in expected], 3)


def test_lists_are_limited_and_counts_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LISTED", 2)
    bench = Bench()
    worker = bench.worker_joins(cpus=3)
    kept = bench.tasks(3, keep=True)
    bench.submit()
    bench.finishes(worker, *(each.task for each in kept))
    bench.tasks(3)
    bench.submit()
    found = at_workers(bench.machine.state)[worker]
    assert (len(found.tasks), len(found.objects), found.n_coming) == (2, 2, 3)
