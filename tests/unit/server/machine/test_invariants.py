"""The checks find a state that contradicts itself; the table of moves is closed where it should be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rain.core.errors import InvariantViolation
from rain.server.machine import invariants
from rain.server.machine.stages import CANCELLED, FAILED, FINISHED, MOVES, READY, STAGE_NAMES, WAITING, reachable
from rain.server.machine.tables import AVAILABLE, FORGOTTEN
from tests.unit.server.machine.bench import Bench


def busy_bench() -> Bench:
    bench = Bench()
    worker = bench.worker_joins()
    first = bench.task(keep=True)
    second = bench.task(first.out, keep=True)
    bench.task(second.out)
    bench.submit()
    bench.finishes(worker, first.task, us=10_000_000)
    return bench


def swap(bench: Bench, column: str, row: int, value: int, *, of_objects: bool = False) -> None:
    table = bench.session.objects if of_objects else bench.session.tasks
    getattr(table, column)[row] = value


DAMAGES: dict[str, Callable[[Bench], None]] = {
    "a waiting task made ready": lambda bench: swap(bench, "stage", 2, READY),
    "a finished task made waiting": lambda bench: swap(bench, "stage", 0, WAITING),
    "an assigned task made ready": lambda bench: swap(bench, "stage", 1, READY),
    "a wrong count of missing inputs": lambda bench: swap(bench, "missing", 2, 0),
    "an assigned task at another worker": lambda bench: swap(bench, "worker", 1, 9),
    "a task forgotten too early": lambda bench: swap(bench, "flags", 0, FORGOTTEN),
    "a wrong count of readers": lambda bench: swap(bench, "need", 0, 5, of_objects=True),
    "a wrong lineage": lambda bench: swap(bench, "lineage", 1, 0, of_objects=True),
    "a holder that is not there": lambda bench: swap(bench, "holder", 0, 9, of_objects=True),
    "an object that nobody holds": lambda bench: swap(bench, "flags", 1, AVAILABLE, of_objects=True),
    "a wrong count of unfinished tasks": lambda bench: setattr(bench.session, "unfinished", 7),
    "a wrong count of tasks at a worker": lambda bench: bench.machine.state.workers[1].outstanding.update({0: 4}),
    "a wrong count of objects at a worker": lambda bench: setattr(bench.machine.state.workers[1], "n_objects", 4),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_every_damage_is_found(damage: Callable[[Bench], None]) -> None:
    bench = busy_bench()
    invariants.check(bench.machine.state)
    damage(bench)
    with pytest.raises(InvariantViolation):
        invariants.check(bench.machine.state)


def test_nothing_follows_failed_and_cancelled() -> None:
    assert len(MOVES) == len(STAGE_NAMES)
    assert reachable(FAILED) == {FAILED}
    assert reachable(CANCELLED) == {CANCELLED}
    assert reachable(FINISHED) == set(MOVES)
    with pytest.raises(InvariantViolation, match="from stage 4 to 3"):
        invariants.check_history(bytes([FAILED]), bytes([FINISHED]))
