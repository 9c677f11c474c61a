"""Measure Rain beside `concurrent.futures.ProcessPoolExecutor`, in one run, and print a table.

Single times on a shared machine mean little: every row is the median of several rounds, in which Rain and its peer take
turns, and the ratio is the median of the rounds' ratios. Nothing here takes a path that users do not take.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import rain
from rain.client import Client, remote

CPUS = 2


class Row(NamedTuple):
    """One line of the table: what, Rain's figure, the peer's, and what they are compared by."""

    work: str
    rain: str
    peer: str
    ratio: str


@remote()
def noop(ctx):
    return b""


@remote()
def ping(ctx):
    return b"pong"


def plain_noop() -> bytes:
    return b""


def flat_rain(client: Client, n_tasks: int) -> float:
    """Seconds from the first task built to knowing that all are done."""
    with client.new_session() as session:
        start = time.perf_counter()
        handles = [noop() for _ in range(n_tasks)]
        session.submit()
        session.wait_all()
        seconds = time.perf_counter() - start
        session.update([handles[0], handles[-1]])
        assert {handles[0].state, handles[-1].state} == {"finished"}
    return seconds


def flat_pool(pool: ProcessPoolExecutor, n_tasks: int) -> float:
    """The same with one `submit` per task."""
    start = time.perf_counter()
    futures = [pool.submit(plain_noop) for _ in range(n_tasks)]
    results = [future.result() for future in futures]
    seconds = time.perf_counter() - start
    assert len(results) == n_tasks
    return seconds


def flat(client: Client, pool: ProcessPoolExecutor, n_tasks: int, rounds: int) -> Row:
    pairs = [(flat_rain(client, n_tasks), flat_pool(pool, n_tasks)) for _ in range(rounds)]
    ours, theirs = (n_tasks / statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(peer / own for own, peer in pairs)
    return Row(
        f"{n_tasks:,} no-op Python tasks, one submit",
        f"{ours:,.0f} tasks/s",
        f"{theirs:,.0f} tasks/s",
        f"{ratio:.1f} x",
    )


def round_trip(client: Client, pool: ProcessPoolExecutor, rounds: int) -> Row:
    """Submit, wait and fetch one task."""
    with client.new_session() as session:

        def ours() -> None:
            task = ping()
            task.output.keep()
            session.submit()
            task.wait()
            assert task.output.fetch() == b"pong"
            task.output.unkeep()

        def theirs() -> None:
            assert pool.submit(plain_noop).result() == b""

        own, peer = repeat(ours, rounds), repeat(theirs, rounds)
    return Row(
        "round trip of one task, p50 (p99)", percentiles(own), percentiles(peer), f"{p50(peer) / p50(own):.2f} x"
    )


def repeat(action: Callable[[], None], rounds: int) -> list[float]:
    """Seconds of each round, after a few that do not count."""
    for _ in range(20):
        action()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)


def p50(ordered: list[float]) -> float:
    return ordered[len(ordered) // 2]


def percentiles(ordered: list[float]) -> str:
    return f"{p50(ordered) * 1e3:.2f} ms ({ordered[int(len(ordered) * 0.99)] * 1e3:.2f} ms)"


COLD_RAIN = """
from rain.client import Client, blob, tasks
with Client() as client, client.new_session() as session:
    task = tasks.concat(blob("a"), blob("b"))
    task.output.keep()
    session.submit()
    assert task.output.fetch() == b"ab"
"""
COLD_POOL = """
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(2) as pool:
    assert pool.submit(str, 1).result() == "1"
"""


def fresh(program: str, rounds: int) -> float:
    """Median seconds of a whole fresh interpreter that runs `program`."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def cold_start(rounds: int) -> Row:
    ours, theirs = fresh(COLD_RAIN, rounds), fresh(COLD_POOL, rounds)
    return Row(
        "cold start: interpreter, cluster, first result, end",
        f"{ours:.2f} s",
        f"{theirs:.2f} s",
        f"{theirs / ours:.2f} x",
    )


def imports(rounds: int) -> Row:
    ours, bare = fresh("import rain.client", rounds), fresh("pass", rounds)
    return Row("import rain.client (beyond a bare interpreter)", f"{ours - bare:.3f} s", "", "")


def show(rows: list[Row]) -> None:
    table = [Row("work", "Rain", "ProcessPoolExecutor", "ratio"), *rows]
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and fewer: a look, not a measurement")
    quick = parser.parse_args().quick
    rounds = 1 if quick else 3
    print(f"Rain {rain.__version__}, Python {sys.version.split()[0]}, {CPUS} cpus, one local worker, encrypted wire\n")
    rows = [imports(rounds + 2), cold_start(rounds)]
    with rain.local(workers=1, cpus=CPUS) as cluster, cluster.client() as client, ProcessPoolExecutor(CPUS) as pool:
        flat_rain(client, 1000)
        rows.append(round_trip(client, pool, 200 if quick else 1000))
        sizes = (10_000,) if quick else (10_000, 100_000)
        rows += [flat(client, pool, n_tasks, rounds) for n_tasks in sizes]
    show(rows)


if __name__ == "__main__":
    main()
