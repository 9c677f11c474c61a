"""Work that was given ahead goes to those that have nothing to do."""

from __future__ import annotations

from rain.protocol.columns import pack
from rain.protocol.worker import Retract, Retracted
from rain.server.machine.effects import TellWorker
from rain.server.machine.stages import ASSIGNED
from tests.unit.server.machine.bench import Bench


def asked(bench: Bench) -> list[tuple[int, int]]:
    """(worker, number of tasks) of what was asked for since the last look."""
    found = [
        (effect.worker, effect.message.n_tasks)
        for effect in bench.effects
        if isinstance(effect, TellWorker) and isinstance(effect.message, Retract)
    ]
    bench.ignore()
    return found


def loaded() -> tuple[Bench, int, list[int]]:
    """A bench with a worker that has one task running and others ahead, and nothing is ready."""
    bench = Bench()
    worker = bench.worker_joins()
    bench.tasks(12)
    bench.submit()
    for task in range(4):
        bench.finishes(worker, task, us=10_000)
    tasks = bench.session.tasks
    mine = [task for task, stage in enumerate(tasks.stage) if stage == ASSIGNED]
    assert len(mine) > 3
    rest = [task for task, stage in enumerate(tasks.stage) if stage == 1]
    if rest:
        bench.cancels(*rest)
    bench.ignore()
    return bench, worker, mine


def gives_up(bench: Bench, worker: int, *tasks: int) -> None:
    attempts = [bench.session.tasks.attempt[task] for task in tasks]
    bench.now += 1.0
    bench.worker_says(worker, Retracted(1, pack("I", tasks), pack("I", attempts)))


def test_half_of_a_queue_goes_to_a_worker_that_idles() -> None:
    bench, worker, mine = loaded()
    bench.now += 1.0
    idle = bench.worker_joins(cpus=8)
    n_beyond = len(mine) - 1
    assert asked(bench) == [(worker, -(-n_beyond // 2))]
    gives_up(bench, worker, mine[-1], mine[-2])
    tasks = bench.session.tasks
    assert [tasks.worker[task] for task in mine] == [worker] * (len(mine) - 2) + [idle] * 2
    assert [tasks.attempt[task] for task in mine] == [0] * (len(mine) - 2) + [1] * 2


def test_no_more_is_asked_for_than_others_can_begin_and_nobody_is_asked_twice_at_once() -> None:
    bench, worker, _ = loaded()
    bench.now += 1.0
    bench.worker_joins(cpus=1)
    assert asked(bench) == [(worker, 1)]
    bench.time_passes(1.0)
    assert asked(bench) == []


def test_a_worker_that_has_nothing_to_give_is_left_in_peace_for_a_while() -> None:
    bench, worker, _ = loaded()
    bench.now += 1.0
    bench.worker_joins(cpus=1)
    assert asked(bench) == [(worker, 1)]
    gives_up(bench, worker)
    assert asked(bench) == []
    bench.time_passes(0.2)
    assert asked(bench) == [(worker, 1)]


def test_what_ended_or_is_not_expected_meanwhile_stays_as_it_is() -> None:
    bench, worker, mine = loaded()
    bench.now += 1.0
    bench.worker_joins(cpus=1)
    bench.finishes(worker, mine[0], us=10_000)
    before = bytes(bench.session.tasks.stage)
    bench.worker_says(worker, Retracted(1, pack("I", [mine[0]]), pack("I", [0])))
    bench.worker_says(worker, Retracted(1, pack("I", [mine[1], 10**6]), pack("I", [7, 0])))
    bench.worker_says(worker, Retracted(9, pack("I", [0]), pack("I", [0])))
    assert bytes(bench.session.tasks.stage) == before


def test_a_short_queue_is_left_alone() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    bench.tasks(400)
    bench.submit()
    done = 0
    for _ in range(6):
        mine = [task for task, stage in enumerate(bench.stages()) if stage == ASSIGNED]
        bench.finishes(worker, *mine, us=20)
        done += len(mine)
    bench.cancels(*[task for task, stage in enumerate(bench.stages()) if stage == 1])
    bench.ignore()
    bench.now += 1.0
    bench.worker_joins(cpus=1)
    assert asked(bench) == []
