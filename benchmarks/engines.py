"""What the benchmarks ask of an engine, and Rain and the pools of this Python as such engines.

An engine runs the same work through the interface that its users use, with two worker processes. Every method checks
what it computed, and returns when the caller knows that all is done.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, Protocol

import rain
from rain.client import Program

CPUS = 2
MODULUS = 1_000_003
#: What a layered graph is: for each layer, for each task of it, the numbers of those of the layer before that it reads.
Layers = Sequence[Sequence[Sequence[int]]]


def noop() -> None:
    pass


def same(value: Any) -> Any:
    return value


def increment(value: int) -> int:
    return value + 1


def add(*values: int) -> int:
    return sum(values) % MODULUS


def filled(size: int) -> bytes:
    return b"x" * size


def halves(left: bytes, right: bytes) -> bytes:
    """Of the size of each: half of either."""
    return left[: len(left) // 2] + right[len(right) // 2 :]


def run_true() -> None:
    subprocess.run(["true"], check=True)


class Engine(Protocol):
    """The works that are measured; those that an engine has no interface for raise NotOffered."""

    #: With its version and settings.
    name: str
    #: The share of the large works that it is given; its rates say the same.
    share: float

    def flat(self, n: int) -> None:
        """No-op tasks, made one by one."""

    def array(self, n: int) -> None:
        """One function over many values, with the interface made for that; each result can be had."""

    def round_trip(self) -> None:
        """One task: made, done, its result here."""

    def chain(self, n: int) -> None:
        """Tasks of which each reads the result of the one before."""

    def reduction(self, leaves: int) -> None:
        """A binary tree of sums over as many leaf tasks."""

    def large(self, leaves: int, size: int) -> None:
        """A binary tree over as many results of so many bytes, each as large again."""

    def layered(self, layers: Layers) -> None:
        """Layers of sums over results of the layer before."""

    def programs(self, n: int) -> None:
        """Runs of the program `true`."""


class NotOffered(Exception):
    """The engine has no interface for this work."""


def check(found: object, expected: object) -> None:
    """Raises AssertionError where a result is wrong."""
    if found != expected:
        raise AssertionError(f"wrong result: expected {expected!r}, found {found!r}")


def layered_sum(layers: Layers) -> int:
    """What the last layer of a layered graph sums up to."""
    values = [1] * len(layers[0])
    for layer in layers:
        values = [add(*(values[read] for read in reads)) for reads in layer]
    return add(*values)


class RainEngine:
    """One local worker with two cpus, encrypted wire, as always."""

    share = 1.0

    def __init__(self, client: rain.Client) -> None:
        self.name = f"Rain {rain.__version__}"
        self.client = client
        self._noop, self._same = rain.function(noop), rain.function(same)
        self._increment, self._add = rain.function(increment), rain.function(add)
        self._filled, self._halves = rain.function(filled), rain.function(halves)

    def flat(self, n: int) -> None:
        with self.client.new_session() as session:
            tasks = [self._noop() for _ in range(n)]
            sample = tasks[:: max(1, n // 100)]
            for task in sample:
                task.keep_outputs()
            session.submit()
            session.wait_all()
            check([result.load() for result in session.fetch([task.output for task in sample])], [None] * len(sample))

    def array(self, n: int) -> None:
        with self.client.new_session() as session:
            outputs = self._same.map(range(n)).output.keep()
            session.submit()
            session.wait_all()
            step = max(1, n // 100)
            check([result.load() for result in outputs[::step].fetch()], list(range(0, n, step)))

    @contextlib.contextmanager
    def trips(self) -> Iterator[Callable[[], None]]:
        """Round trips within one session."""
        with self.client.new_session() as session:

            def trip() -> None:
                output = self._same(7).output.keep()
                session.submit()
                check(output.fetch().load(), 7)
                output.unkeep()

            yield trip

    def round_trip(self) -> None:
        with self.trips() as trip:
            trip()

    def chain(self, n: int) -> None:
        with self.client.new_session() as session:
            last: Any = 0
            for _ in range(n):
                last = self._increment(last)
            check(session.compute(last.output).load(), n)

    def reduction(self, leaves: int) -> None:
        with self.client.new_session() as session:
            level: list[Any] = [self._same(leaf) for leaf in range(leaves)]
            while len(level) > 1:
                level = [self._add(*level[at : at + 2]) for at in range(0, len(level), 2)]
            check(session.compute(level[0].output).load(), sum(range(leaves)) % MODULUS)

    def large(self, leaves: int, size: int) -> None:
        with self.client.new_session() as session:
            level: list[Any] = [self._filled(size) for _ in range(leaves)]
            while len(level) > 1:
                level = [self._halves(*pair) if len(pair) == 2 else pair[0] for pair in pairs(level)]
            check(len(session.compute(level[0].output).load()), size)

    def layered(self, layers: Layers) -> None:
        with self.client.new_session() as session:
            values: list[Any] = [1] * len(layers[0])
            for layer in layers:
                values = [self._add(*(values[read] for read in reads)) for reads in layer]
            check(session.compute(self._add(*values).output).load(), layered_sum(layers))

    def programs(self, n: int) -> None:
        true = Program(["true"])
        with self.client.new_session() as session:
            runs = [true() for _ in range(n)]
            session.submit()
            session.wait_all()
            session.update([runs[0], runs[-1]])
            check((runs[0].state, runs[-1].state), ("finished", "finished"))


class PoolEngine:
    """`concurrent.futures`: the graph is driven by the client."""

    share = 1.0

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self.name = f"ProcessPoolExecutor({CPUS})"
        self._pool = pool

    def flat(self, n: int) -> None:
        check([future.result() for future in [self._pool.submit(noop) for _ in range(n)]], [None] * n)

    def array(self, n: int) -> None:
        check(list(self._pool.map(same, range(n), chunksize=max(1, n // 100))), list(range(n)))

    def round_trip(self) -> None:
        check(self._pool.submit(same, 7).result(), 7)

    @contextlib.contextmanager
    def trips(self) -> Iterator[Callable[[], None]]:
        yield self.round_trip

    def chain(self, n: int) -> None:
        value = 0
        for _ in range(n):
            value = self._pool.submit(increment, value).result()
        check(value, n)

    def reduction(self, leaves: int) -> None:
        level = results([self._pool.submit(same, leaf) for leaf in range(leaves)])
        while len(level) > 1:
            level = results([self._pool.submit(add, *level[at : at + 2]) for at in range(0, len(level), 2)])
        check(level[0], sum(range(leaves)) % MODULUS)

    def large(self, leaves: int, size: int) -> None:
        level = results([self._pool.submit(filled, size) for _ in range(leaves)])
        while len(level) > 1:
            whole = [pair for pair in pairs(level) if len(pair) == 2]
            level = results([self._pool.submit(halves, *pair) for pair in whole]) + level[2 * len(whole) :]
        check(len(level[0]), size)

    def layered(self, layers: Layers) -> None:
        values = [1] * len(layers[0])
        for layer in layers:
            values = results([self._pool.submit(add, *[values[read] for read in reads]) for reads in layer])
        check(add(*values), layered_sum(layers))

    def programs(self, n: int) -> None:
        check(results([self._pool.submit(run_true) for _ in range(n)]), [None] * n)


def pairs(values: Sequence[Any]) -> list[Sequence[Any]]:
    """Neighbours two by two; the last may be alone."""
    return [values[at : at + 2] for at in range(0, len(values), 2)]


def results(futures: Sequence[Future[Any]]) -> list[Any]:
    """What the futures of one level came to."""
    return [future.result() for future in futures]


class JoblibEngine:
    """joblib with its default backend, loky, and batches of its own choosing."""

    share = 0.1

    def __init__(self, parallel: Any) -> None:
        import joblib

        self.name = f"joblib {joblib.__version__}"
        self._parallel, self._delayed = parallel, joblib.delayed

    def flat(self, n: int) -> None:
        check(self._parallel(self._delayed(noop)() for _ in range(n)), [None] * n)

    def array(self, n: int) -> None:
        check(self._parallel(self._delayed(same)(value) for value in range(n)), list(range(n)))

    def round_trip(self) -> None:
        check(self._parallel([self._delayed(same)(7)]), [7])

    @contextlib.contextmanager
    def trips(self) -> Iterator[Callable[[], None]]:
        yield self.round_trip

    def chain(self, n: int) -> None:
        raise NotOffered

    def reduction(self, leaves: int) -> None:
        level = self._parallel(self._delayed(same)(leaf) for leaf in range(leaves))
        while len(level) > 1:
            level = self._parallel(self._delayed(add)(*level[at : at + 2]) for at in range(0, len(level), 2))
        check(level[0], sum(range(leaves)) % MODULUS)

    def large(self, leaves: int, size: int) -> None:
        level = self._parallel(self._delayed(filled)(size) for _ in range(leaves))
        while len(level) > 1:
            whole = [pair for pair in pairs(level) if len(pair) == 2]
            level = self._parallel(self._delayed(halves)(*pair) for pair in whole) + level[2 * len(whole) :]
        check(len(level[0]), size)

    def layered(self, layers: Layers) -> None:
        values = [1] * len(layers[0])
        for layer in layers:
            values = self._parallel(self._delayed(add)(*[values[read] for read in reads]) for reads in layer)
        check(add(*values), layered_sum(layers))

    def programs(self, n: int) -> None:
        check(self._parallel(self._delayed(run_true)() for _ in range(n)), [None] * n)


@contextlib.contextmanager
def rain_engine() -> Iterator[RainEngine]:
    with rain.local(workers=1, cpus=CPUS) as cluster, cluster.client() as client:
        yield RainEngine(client)


@contextlib.contextmanager
def pool_engine() -> Iterator[PoolEngine]:
    with ProcessPoolExecutor(CPUS) as pool:
        yield PoolEngine(pool)


@contextlib.contextmanager
def joblib_engine() -> Iterator[JoblibEngine]:
    import joblib
    from joblib.externals.loky import get_reusable_executor

    with joblib.Parallel(n_jobs=CPUS) as parallel:
        yield JoblibEngine(parallel)
    get_reusable_executor().shutdown(wait=True)
