"""A forkserver per module, since starting one takes longer than the tests it serves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.executor.forkserver_bench import ForkserverBench


@pytest.fixture(scope="module")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkserverBench]:
    bench = ForkserverBench(tmp_path_factory.mktemp("worker") / "root")
    try:
        yield bench
    finally:
        bench.close()


@pytest.fixture
def bench(shared_bench: ForkserverBench) -> ForkserverBench:
    """For tests that leave the forkserver and its first executor as they found them."""
    return shared_bench


@pytest.fixture
def own_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkserverBench]:
    """For tests of the forkserver itself."""
    bench = ForkserverBench(tmp_path_factory.mktemp("own") / "root")
    try:
        yield bench
    finally:
        bench.close()
