"""A million tasks, built one by one: time per task beside ten thousand, memory of the server and of the whole tree."""

from __future__ import annotations

import threading

import psutil

from benchmarks.engines import rain_engine
from benchmarks.workloads import timed


class MemorySamples(threading.Thread):
    """The most memory that this process and all that came from it held, looked at again and again."""

    def __init__(self, interval_s: float = 0.3) -> None:
        super().__init__(daemon=True)
        self._interval_s = interval_s
        self._ended = threading.Event()
        self.server_before = _server_rss()
        self.server_most = self.tree_most = 0

    def run(self) -> None:
        while not self._ended.wait(self._interval_s):
            self.server_most = max(self.server_most, _server_rss())
            self.tree_most = max(self.tree_most, sum(map(_rss, _tree())))

    def end(self) -> None:
        self._ended.set()
        self.join()


def _tree() -> list[psutil.Process]:
    own = psutil.Process()
    return [own, *own.children(recursive=True)]


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0  # it ended in between


def _server_rss() -> int:
    return sum(_rss(process) for process in _tree()[1:] if "rain.server" in _command(process))


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def million_rows(n: int, n_small: int = 10_000) -> list[list[str]]:
    """Rows about n tasks; the small runs are repeated so that they take long enough to be compared."""
    with rain_engine() as engine:
        engine.flat(1000)
        small = sorted(timed(lambda: engine.flat(n_small)) / n_small for _ in range(9))[4]
        samples = MemorySamples()
        samples.start()
        large = timed(lambda: engine.flat(n)) / n
        samples.end()
    return [
        [f"{n:,} no-op tasks, built one by one", ""],
        ["tasks/s", f"{1 / large:,.0f}"],
        [f"time per task, to that of {n_small:,}", f"{large / small:.2f}"],
        ["server, bytes per task at most", f"{(samples.server_most - samples.server_before) / n:.0f}"],
        ["all processes, MiB at most (pages they share counted for each)", f"{samples.tree_most >> 20}"],
    ]
