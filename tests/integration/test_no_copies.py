"""Mapping an object into programs copies no bytes: what all processes of a worker write is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rain.client import Client, tasks
from rain.deploy.local import LocalCluster

SIZE = 30_000_000


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(workers=1, cpus=2) as cluster:
        yield cluster


def bytes_written(cluster: LocalCluster) -> int:
    """Bytes that the worker, its executors and the programs that ended there have written until now."""
    [worker] = [psutil.Process(pid) for pid in cluster.worker_pids]
    return sum(process.io_counters().write_chars for process in [worker, *worker.children(recursive=True)])


def test_an_object_that_many_programs_read_is_written_once(cluster: LocalCluster, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"needle\n" + b"hay\n" * (SIZE // 4))
    with Client(access=cluster.access_path) as client, client.new_session() as session:
        data = tasks.open(str(text))
        data.output.keep()
        session.submit()
        data.wait()
        before = bytes_written(cluster)
        found = [tasks.execute(["grep", "-c", "needle", data], stdout=True) for _ in range(10)]
        for task in found:
            task.output.keep()
        session.submit()
        assert {str(one) for one in session.fetch([task.output for task in found])} == {"1\n"}
        assert bytes_written(cluster) - before < SIZE / 10


def test_the_output_of_a_program_is_written_by_the_program_alone(cluster: LocalCluster) -> None:
    with Client(access=cluster.access_path) as client, client.new_session() as session:
        before = bytes_written(cluster)
        made = tasks.execute(
            ["dd", "if=/dev/zero", "bs=1000000", f"count={SIZE // 1_000_000}", "of=out", "status=none"],
            output_paths=["out"],
        )
        counted = tasks.execute(["sh", "-c", 'wc -c < "$0"', made], stdout=True)
        counted.output.keep()
        session.submit()
        assert str(counted.output.fetch()).strip() == str(SIZE)
        assert bytes_written(cluster) - before < SIZE * 1.1
