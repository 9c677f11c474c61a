"""Measure Rain beside other engines, in one run, as far as they are installed (`pip install 'rain[peers]'`).

Every engine runs two worker processes on this machine and the same work through the interface that its users use, at
settings its documentation recommends for short tasks. Each figure is the median of three rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import rain

CPUS = 2
ROUNDS = 3


class Engine(NamedTuple):
    """What is measured: runs `n` tasks and waits for all; makes a round trip; runs a chain of `n` tasks."""

    name: str
    flat: Callable[[int], None]
    round_trip: Callable[[], None]
    chain: Callable[[int], None]


def noop() -> bytes:
    return b""


def after(previous: Any) -> bytes:
    return b""


@contextlib.contextmanager
def rain_engine() -> Iterator[Engine]:
    task, follow = rain.function(noop), rain.function(after)
    with rain.local(workers=1, cpus=CPUS) as cluster, cluster.client() as client, client.new_session() as session:

        def flat(n: int) -> None:
            _tasks = [task() for _ in range(n)]
            session.submit()
            session.wait_all()

        def round_trip() -> None:
            output = task().output
            output.keep()
            session.submit()
            assert output.fetch().load() == b""
            output.unkeep()

        def chain(n: int) -> None:
            last = task()
            for _ in range(n - 1):
                last = follow(last)
            session.submit()
            last.wait()

        yield Engine("Rain " + rain.__version__, flat, round_trip, chain)


@contextlib.contextmanager
def pool_engine() -> Iterator[Engine]:
    with ProcessPoolExecutor(CPUS) as pool:

        def flat(n: int) -> None:
            for future in [pool.submit(noop) for _ in range(n)]:
                future.result()

        def chain(n: int) -> None:
            last = pool.submit(noop).result()
            for _ in range(n - 1):
                last = pool.submit(after, last).result()

        yield Engine("ProcessPoolExecutor", flat, lambda: _check(pool.submit(noop).result()), chain)


@contextlib.contextmanager
def dask_engine() -> Iterator[Engine]:
    import dask
    from distributed import Client, LocalCluster, wait

    # Tasks sent ahead of need, and no work stealing: the best of its settings for very short tasks.
    dask.config.set(
        {"distributed.scheduler.worker-saturation": float("inf"), "distributed.scheduler.work-stealing": False}
    )
    with (
        LocalCluster(n_workers=CPUS, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):

        def flat(n: int) -> None:
            wait([client.submit(noop, pure=False) for _ in range(n)])

        def chain(n: int) -> None:
            last = client.submit(noop, pure=False)
            for _ in range(n - 1):
                last = client.submit(after, last, pure=False)
            wait(last)

        yield Engine(
            "Dask " + version("distributed"), flat, lambda: _check(client.submit(noop, pure=False).result()), chain
        )


@contextlib.contextmanager
def ray_engine() -> Iterator[Engine]:
    import ray

    ray.init(num_cpus=CPUS, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        task, follow = ray.remote(noop), ray.remote(after)

        def flat(n: int) -> None:
            ray.get([task.remote() for _ in range(n)])

        def chain(n: int) -> None:
            last = task.remote()
            for _ in range(n - 1):
                last = follow.remote(last)
            ray.get(last)

        yield Engine("Ray " + version("ray"), flat, lambda: _check(ray.get(task.remote())), chain)
    finally:
        ray.shutdown()


ENGINES = {"concurrent": pool_engine, "distributed": dask_engine, "ray": ray_engine}


def version(package: str) -> str:
    return importlib.metadata.version(package)


def _check(result: bytes) -> None:
    assert result == b""


def seconds(action: Callable[[], None]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(engine: Engine, n_flat: int, n_chain: int) -> list[str]:
    """The engine's row of the table."""
    engine.flat(200)
    for _ in range(20):
        engine.round_trip()
    flat = statistics.median(seconds(lambda: engine.flat(n_flat)) for _ in range(ROUNDS))
    trip = statistics.median(seconds(engine.round_trip) for _ in range(300))
    chain = statistics.median(seconds(lambda: engine.chain(n_chain)) for _ in range(ROUNDS))
    return [engine.name, f"{n_flat / flat:,.0f}", f"{trip * 1e3:.2f}", f"{chain / n_chain * 1e3:.3f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000, help="flat tasks")
    parser.add_argument("--chain", type=int, default=1_000, help="tasks of the chain")
    options = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, two worker processes each\n")
    rows = [["engine", "tasks/s", "round trip, ms", "chain, ms a task"]]
    for make in (rain_engine, *(make for name, make in ENGINES.items() if name == "concurrent" or is_there(name))):
        with make() as engine:
            rows.append(measure(engine, options.tasks, options.chain))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def is_there(package: str) -> bool:
    """Whether an engine is installed."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return bool(version(package))
    return False


if __name__ == "__main__":
    main()
