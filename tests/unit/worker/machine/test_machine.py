"""The worker and its server: pings, silence, the end; and what a task may cost."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from rain.core.errors import InvariantViolation
from rain.core.liveness import DEAD_AFTER_S
from rain.core.resources import UNIT, Offer
from rain.protocol.worker import ServerPing, Stop, WorkerPong
from rain.worker.machine import invariants
from rain.worker.machine.effects import Exit, Tell
from tests.unit.worker.machine.bench import Bench, Given, Source, spec


def test_a_ping_is_answered() -> None:
    bench = Bench()
    bench.says(ServerPing())
    assert bench.take(Tell) == Tell(WorkerPong())
    bench.nothing_else_happened()


def test_a_worker_that_hears_nothing_leaves() -> None:
    bench = Bench()
    bench.passes(DEAD_AFTER_S - 1)
    bench.passes(DEAD_AFTER_S, server_talks=False)
    bench.nothing_else_happened()
    bench.passes(1, server_talks=False)
    assert bench.take(Exit) == Exit()
    bench.nothing_else_happened()


def test_stop_ends_the_worker_and_nothing_follows() -> None:
    bench = Bench()
    bench.says(Stop())
    assert bench.take(Exit) == Exit()
    bench.computes(0)
    bench.passes(100, server_talks=False)
    bench.nothing_else_happened()


def test_the_same_story_has_the_same_effects() -> None:
    def story() -> bytes:
        bench = Bench(cpus=3)
        tasks = [Given(number, inputs=(90 + number % 7, 91)) for number in range(40)]
        bench.computes(*tasks, sources=[Source(90 + number) for number in range(7)])
        bench.arrive(91, 90)
        bench.cancels(1, 8)
        bench.cannot_be_had(92, 93)
        bench.drops(91, 94)
        return msgspec.msgpack.encode(bench._effects, enc_hook=list)

    assert story() == story()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda state: dataclasses.replace(state, free=Offer(cpus=5 * UNIT)), "free resources"),
        (lambda state: state.idle.update({0: state.executors[0]}), "is idle"),
        (lambda state: state.sessions[1].present.add(90), "misses"),
        (lambda state: state.sessions[1].needed.clear(), "counts of readers"),
        (lambda state: state.sessions[1].doomed.add(3), "dropped later"),
        (lambda state: state.lanes.clear(), "lanes"),
    ],
)
def test_a_damaged_state_is_noticed(damage, words: str) -> None:  # type: ignore[no-untyped-def]
    bench = Bench(cpus=1)
    bench.computes(0, 1, Given(2, inputs=(90,)), sources=[Source(90)], specs=[spec()])
    state = bench.machine.state
    with pytest.raises(InvariantViolation, match=words):
        invariants.check(damage(state) or state)
