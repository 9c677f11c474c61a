"""Dask and Ray as engines, as far as they are installed, at settings their documentation recommends for short tasks."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.engines import (
    CPUS,
    MODULUS,
    Layers,
    NotOffered,
    add,
    check,
    filled,
    halves,
    increment,
    layered_sum,
    noop,
    pairs,
    run_true,
    same,
)


def is_installed(package: str) -> bool:
    """Whether an engine can be measured."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return bool(importlib.metadata.version(package))
    return False


class _Driven:
    """Engines with `submit` for one task and references as arguments; subclasses say how."""

    name: str
    share: float

    def _submit(self, function: Callable[..., Any], *args: Any) -> Any:
        raise NotOffered

    def _results(self, references: list[Any]) -> list[Any]:
        raise NotOffered

    def flat(self, n: int) -> None:
        check(self._results([self._submit(noop) for _ in range(n)]), [None] * n)

    def array(self, n: int) -> None:
        check(self._results([self._submit(same, value) for value in range(n)]), list(range(n)))

    def round_trip(self) -> None:
        check(self._results([self._submit(same, 7)]), [7])

    @contextlib.contextmanager
    def trips(self) -> Iterator[Callable[[], None]]:
        yield self.round_trip

    def chain(self, n: int) -> None:
        last: Any = 0
        for _ in range(n):
            last = self._submit(increment, last)
        check(self._results([last]), [n])

    def reduction(self, leaves: int) -> None:
        level = [self._submit(same, leaf) for leaf in range(leaves)]
        while len(level) > 1:
            level = [self._submit(add, *level[at : at + 2]) for at in range(0, len(level), 2)]
        check(self._results(level), [sum(range(leaves)) % MODULUS])

    def large(self, leaves: int, size: int) -> None:
        level = [self._submit(filled, size) for _ in range(leaves)]
        while len(level) > 1:
            level = [self._submit(halves, *pair) if len(pair) == 2 else pair[0] for pair in pairs(level)]
        check([len(result) for result in self._results(level)], [size])

    def layered(self, layers: Layers) -> None:
        values: list[Any] = [1] * len(layers[0])
        for layer in layers:
            values = [self._submit(add, *[values[read] for read in reads]) for reads in layer]
        check(self._results([self._submit(add, *values)]), [layered_sum(layers)])

    def programs(self, n: int) -> None:
        check(self._results([self._submit(run_true) for _ in range(n)]), [None] * n)


class DaskEngine(_Driven):
    """Two processes of one thread; tasks are sent ahead of need, and none is stolen."""

    share = 0.1

    def __init__(self, client: Any) -> None:
        self.name = f"Dask {importlib.metadata.version('distributed')}"
        self._client = client

    def _submit(self, function: Callable[..., Any], *args: Any) -> Any:
        return self._client.submit(function, *args, pure=False)

    def _results(self, references: list[Any]) -> list[Any]:
        return list(self._client.gather(references))

    def array(self, n: int) -> None:
        check(self._results(self._client.map(same, range(n), pure=False)), list(range(n)))


class RayEngine(_Driven):
    """Two cpus, no dashboard."""

    share = 0.1

    def __init__(self, ray: Any) -> None:
        self.name = f"Ray {ray.__version__}"
        self._ray = ray
        self._remote = {each: ray.remote(each) for each in (noop, same, increment, add, filled, halves, run_true)}

    def _submit(self, function: Callable[..., Any], *args: Any) -> Any:
        return self._remote[function].remote(*args)

    def _results(self, references: list[Any]) -> list[Any]:
        return list(self._ray.get(references))


@contextlib.contextmanager
def dask_engine() -> Iterator[DaskEngine]:
    import dask
    from distributed import Client, LocalCluster

    dask.config.set(
        {"distributed.scheduler.worker-saturation": float("inf"), "distributed.scheduler.work-stealing": False}
    )
    with (
        LocalCluster(n_workers=CPUS, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield DaskEngine(client)


@contextlib.contextmanager
def ray_engine() -> Iterator[RayEngine]:
    import ray

    ray.init(num_cpus=CPUS, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        yield RayEngine(ray)
    finally:
        ray.shutdown()


PEERS = {"distributed": dask_engine, "ray": ray_engine}
