"""External programs beside the operating system's own: Rain's tasks, and two processes that only start programs."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.engines import CPUS, RainEngine, check, rain_engine
from benchmarks.workloads import timed
from rain.client import Program, blob

GREP_BYTES = 50 << 20
PATTERN = "needle"


def start_true(n: int) -> None:
    """Runs `true` n times, one after the other."""
    for _ in range(n):
        _, status = os.waitpid(os.posix_spawnp("true", ["true"], os.environ), 0)
        check(status, 0)


def start_grep(n: int, path: str, expected: bytes) -> None:
    """Runs grep over a file n times, one after the other; its output goes to a file, as a task's does."""
    target = f"{path}.{os.getpid()}.out"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for _ in range(n):
        actions = [(os.POSIX_SPAWN_OPEN, 1, target, flags, 0o600)]
        pid = os.posix_spawnp("grep", ["grep", "-c", PATTERN, path], os.environ, file_actions=actions)
        check(os.waitpid(pid, 0)[1], 0)
        check(Path(target).read_bytes(), expected)


def two_at_a_time(target: Callable[..., None], *args: object) -> None:
    """Runs it in two processes at once."""
    context = get_context("fork")
    processes = [context.Process(target=target, args=args) for _ in range(CPUS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    check([process.exitcode for process in processes], [0] * CPUS)


def grep_rain(engine: RainEngine, data: bytes, n: int, expected: bytes) -> float:
    """Seconds of n greps over one object that is there already."""
    grep = Program(["grep", "-c", PATTERN, "input"], input_paths=["input"], stdout=True)
    with engine.client.new_session() as session:
        text = blob(data).keep()
        session.compute(grep(input=text))

        def run() -> None:
            outputs = [grep(input=text).output.keep() for _ in range(n)]
            session.submit()
            check([each.get_bytes() for each in session.fetch(outputs)], [expected] * n)

        return timed(run)


def lines(size: int) -> tuple[bytes, int]:
    """Text of about that many bytes, and in how many of its lines the pattern is."""
    block = b"".join(b"%06d hay hay hay hay hay hay hay hay\n" % number for number in range(1000)) + b"a needle\n"
    count = size // len(block)
    return block * count, count


def spawning_rows(rounds: int, n_true: int, n_grep: int) -> list[list[str]]:
    """Rows: Rain, two bare processes, ratio of times; medians of rounds that take turns."""
    data, count = lines(GREP_BYTES)
    expected = b"%d\n" % count
    true_times, grep_times = [], []
    with TemporaryDirectory() as folder, rain_engine() as engine:
        path = Path(folder, "input")
        path.write_bytes(data)
        engine.programs(100)
        for _ in range(rounds):
            bare = timed(lambda: two_at_a_time(start_true, n_true // CPUS))
            true_times.append((timed(lambda: engine.programs(n_true)), bare))
            bare = timed(lambda: two_at_a_time(start_grep, n_grep // CPUS, str(path), expected))
            grep_times.append((grep_rain(engine, data, n_grep, expected), bare))
    return [
        ["external programs, two at a time", "Rain", "bare", "Rain / bare"],
        [f"{n_true:,} runs of true", *_told(true_times)],
        [f"{n_grep} greps of one object of {len(data) >> 20} MiB", *_told(grep_times)],
    ]


def _told(times: list[tuple[float, float]]) -> list[str]:
    ours, bare = (statistics.median(side) for side in zip(*times, strict=True))
    return [f"{ours:.2f} s", f"{bare:.2f} s", f"{statistics.median(own / other for own, other in times):.2f}"]
