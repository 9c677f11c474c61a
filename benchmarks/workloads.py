"""The works that engines are compared by: how large, how measured, how told."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple

Seconds = float


class Workload(NamedTuple):
    """One row of the table."""

    title: str
    #: Runs it once on an engine; seconds per unit.
    run: Callable[[Any], Seconds]
    #: A figure in the row's unit from seconds per unit.
    told: Callable[[Seconds], str]


def timed(action: Callable[[], None]) -> Seconds:
    """Seconds of one run."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def rate(seconds: Seconds) -> str:
    return f"{1 / seconds:,.0f} tasks/s"


def milliseconds(seconds: Seconds) -> str:
    return f"{seconds * 1e3:.3f} ms"


def shared(engine: Any, n: int) -> int:
    """How much of a large work the engine is given."""
    return max(1, int(n * engine.share))


def flat(n: int) -> Workload:
    def run(engine: Any) -> Seconds:
        count = shared(engine, n)
        return timed(lambda: engine.flat(count)) / count

    return Workload(f"{n:,} no-op tasks, built one by one", run, rate)


def task_array(n: int) -> Workload:
    def run(engine: Any) -> Seconds:
        count = shared(engine, n)
        return timed(lambda: engine.array(count)) / count

    return Workload(f"{n:,} calls as one array, results kept", run, rate)


def chain(n: int) -> Workload:
    def run(engine: Any) -> Seconds:
        count = shared(engine, n)
        return timed(lambda: engine.chain(count)) / count

    return Workload(f"chain of {n:,}, a task", run, milliseconds)


def reduction(leaves: int) -> Workload:
    def run(engine: Any) -> Seconds:
        count = leaves if engine.share == 1 else leaves // 8
        return timed(lambda: engine.reduction(count)) / count

    return Workload(f"binary reduction of {leaves:,} leaves", run, lambda seconds: f"{seconds * leaves:.2f} s")


def layered(n_layers: int, width: int, n_reads: int = 3) -> Workload:
    draw = random.Random(1)
    layers = [[[draw.randrange(width) for _ in range(n_reads)] for _ in range(width)] for _ in range(n_layers)]
    return Workload(
        f"{n_layers} layers of {width} tasks, {n_reads} random inputs each",
        lambda engine: timed(lambda: engine.layered(layers)),
        lambda seconds: f"{seconds:.2f} s",
    )


def large(leaves: int, size: int) -> Workload:
    return Workload(
        f"binary reduction of {leaves} results of {size // 1_000_000} MB",
        lambda engine: timed(lambda: engine.large(leaves, size)),
        lambda seconds: f"{seconds:.2f} s",
    )


def programs(n: int) -> Workload:
    def run(engine: Any) -> Seconds:
        return timed(lambda: engine.programs(n))

    return Workload(f"{n:,} runs of the program true", run, lambda seconds: f"{seconds:.2f} s")


def round_trip(rounds: int, quantile: float) -> Workload:
    def run(engine: Any) -> Seconds:
        with engine.trips() as trip:
            for _ in range(20):
                trip()
            return sorted(timed(trip) for _ in range(rounds))[int(rounds * quantile)]

    return Workload(f"round trip of one task, {quantile:.0%} of them within", run, milliseconds)


def full() -> list[Workload]:
    return [
        flat(10_000),
        flat(100_000),
        task_array(1_000_000),
        reduction(1 << 16),
        large(200, 5_000_000),
        layered(20, 500),
        chain(10_000),
        round_trip(300, 0.5),
        round_trip(300, 0.99),
        programs(2_000),
    ]


def quick() -> list[Workload]:
    """Smaller: a look, not a measurement."""
    return [
        flat(10_000),
        task_array(100_000),
        reduction(1 << 12),
        large(20, 5_000_000),
        layered(20, 100),
        chain(1_000),
        round_trip(100, 0.5),
        programs(200),
    ]
