"""Microseconds of cpu per task in each of Rain's processes: client, server, worker and executors together.

Wall time on a shared machine says little of where it goes; what the kernel charges to a process does.

python -m benchmarks.by_part [--tasks 100000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from pathlib import Path

import rain
from rain.client import Client, remote

CPUS = 2
PARTS = ("client", "server", "worker", "executors")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
#: Module of the command line, and the part that it is; the forkserver and its forks share one command line.
_MODULES = {"rain.server": "server", "rain.worker": "worker", "rain.executor.forkserver": "executors"}


@remote()
def noop(ctx):
    return b""


@remote(auto_load=True, auto_encode="pickle")
def same(ctx, value):
    return value


@remote()
def passed_on(ctx, value):
    return value


def flat(n_tasks: int) -> None:
    for _ in range(n_tasks):
        noop()


def array(n_tasks: int) -> None:
    same.map(range(n_tasks))


def chain(n_tasks: int) -> None:
    task = noop()
    for _ in range(n_tasks - 1):
        task = passed_on(task)


def main() -> None:
    """Prints a line per kind of graph: the medians of all rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{'µs of cpu per task':20}" + "".join(f"{part:>11}" for part in (*PARTS, "all")))
    with rain.local(workers=1, cpus=CPUS) as cluster, cluster.client() as client:
        for build, share in ((flat, 1), (array, 1), (chain, 50)):
            n_tasks = options.tasks // share
            spend(client, build, 1000)
            rounds = [spend(client, build, n_tasks) for _ in range(options.rounds)]
            medians = [statistics.median(each[part] for each in rounds) for part in PARTS]
            cells = "".join(f"{figure:11.2f}" for figure in (*medians, sum(medians)))
            print(f"{build.__name__:20}{cells}")


def spend(client: Client, build: Callable[[int], None], n_tasks: int) -> dict[str, float]:
    """Microseconds per task and part, from the first task built to knowing that all are done."""
    before = spent_s()
    with client.new_session() as session:
        build(n_tasks)
        session.submit()
        session.wait_all()
        after = spent_s()
    return {part: (after[part] - before[part]) / n_tasks * 1e6 for part in PARTS}


def spent_s() -> dict[str, float]:
    """Seconds of cpu that each part has had until now."""
    spent = dict.fromkeys(PARTS, 0.0)
    for pid in descendants(os.getpid()):
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        part = next((_MODULES[word] for word in words if word in _MODULES), "client")
        spent[part] += cpu_s(pid)
    return spent


def descendants(pid: int) -> list[int]:
    """The process and all that come from it."""
    found = [pid]
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            found += descendants(int(child))
    return found


def cpu_s(pid: int) -> float:
    """What the kernel has charged to the process: finer than ticks where it tells."""
    threads = [(thread / "schedstat") for thread in Path(f"/proc/{pid}/task").iterdir()]
    try:
        return sum(int(each.read_text().split()[0]) for each in threads) / 1e9
    except FileNotFoundError:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


if __name__ == "__main__":
    main()
