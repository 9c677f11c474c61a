"""Workers of one machine take large objects from one another by links; memory is no bound for what they hold."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from rain.client import Client, DataInstance, Session, directory, remote, tasks
from rain.deploy.local import LocalCluster

SIZE = 30_000_000


@remote()
def make(ctx, size):
    return b"x" * size


@remote(cpus=2)
def occupy(ctx):
    """Keeps the larger worker busy until the smaller one has done something, which takes less."""
    import time

    time.sleep(0.5)
    return b""


@remote(cpus=2)
def size_of(ctx, data: DataInstance):
    return b"%d" % len(data.get_bytes())


@pytest.fixture(params=[True, False], ids=["shared", "sent"])
def cluster(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    """A worker of one cpu and one of two."""
    with LocalCluster(workers=1, cpus=1, share_store=request.param) as running:
        running.add_worker(cpus=2)
        yield running


@pytest.fixture
def session(cluster: LocalCluster) -> Iterator[Session]:
    with Client(access=cluster.access_path) as client, client.new_session() as opened:
        yield opened


def bytes_written(cluster: LocalCluster) -> int:
    """Bytes that the workers themselves have written until now, to files and to one another."""
    return sum(psutil.Process(pid).io_counters().write_chars for pid in cluster.worker_pids)


def test_a_result_is_used_on_another_worker_without_a_copy(
    cluster: LocalCluster, session: Session, request: pytest.FixtureRequest
) -> None:
    busy, made = occupy(), make(SIZE)
    made.output.keep()
    session.submit()
    session.wait_all()
    session.update([busy, made])
    assert (busy.info.worker, made.info.worker) == ("w2", "w1")
    before = bytes_written(cluster)
    assert session.compute(size_of(made).output).get_bytes() == b"%d" % SIZE
    written = bytes_written(cluster) - before
    assert written < SIZE / 10 if "shared" in request.node.name else written > SIZE
    # The client takes it in the same way.
    assert made.output.fetch().get_bytes() == b"x" * SIZE


def test_a_directory_is_used_on_another_worker(cluster: LocalCluster, session: Session, tmp_path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(name.encode() * 100_000)
    tree = directory(tmp_path)
    here = tasks.execute(["sh", "-c", 'cat "$0"/one | wc -c', tree], stdout=True, cpus=1)
    there = tasks.execute(["sh", "-c", 'cat "$0"/two | wc -c', tree], stdout=True, cpus=2)
    for task in (here, there):
        task.output.keep()
    session.submit()
    assert [str(each).strip() for each in session.fetch([here.output, there.output])] == ["300000", "300000"]


@remote()
def numbered(ctx, number):
    return number.to_bytes(4, "big") * (15 << 10)


@remote()
def joined(ctx, left, right):
    return left.get_bytes()[: 30 << 10] + right.get_bytes()[30 << 10 :]


def test_a_graph_whose_live_data_is_three_times_the_memory_of_the_worker_completes() -> None:
    given, size = 24 << 20, 60 << 10
    n = 3 * given // size // 2 * 2
    with (
        LocalCluster(workers=1, cpus=2, memory_bytes=given) as cluster,
        Client(access=cluster.access_path) as client,
        client.new_session() as session,
    ):
        leaves = [numbered(number) for number in range(n)]
        for leaf in leaves:
            leaf.output.keep()
        session.submit()
        session.wait_all()
        # The first with the last ones, so that nothing that is needed was used of late.
        pairs = [joined(leaves[number], leaves[n - 1 - number]) for number in range(n // 2)]
        for pair in pairs:
            pair.output.keep()
        session.submit()
        for number, result in enumerate(session.fetch([pair.output for pair in pairs])):
            half = 15 << 9
            assert result.get_bytes() == number.to_bytes(4, "big") * half + (n - 1 - number).to_bytes(4, "big") * half
