"""What it takes to begin: imports and cold starts, each in a fresh interpreter."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COLD_RAIN = """
from rain.client import Client, blob, tasks
with Client() as client, client.new_session() as session:
    assert session.compute(tasks.concat(blob("a"), blob("b"))) == b"ab"
"""
COLD_POOL = """
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(2) as pool:
    assert pool.submit(str, 1).result() == "1"
"""


def start_rows(rounds: int) -> list[list[str]]:
    """Rows with the seconds of whole fresh interpreters, medians."""
    bare = fresh("pass", rounds)
    return [
        ["fresh interpreters", "seconds"],
        ["import rain.client, beyond a bare interpreter", f"{fresh('import rain.client', rounds) - bare:.3f}"],
        ["Rain: interpreter, cluster, first result, end", f"{fresh(COLD_RAIN, rounds):.2f}"],
        ["ProcessPoolExecutor: the same", f"{fresh(COLD_POOL, rounds):.2f}"],
    ]


def fresh(program: str, rounds: int) -> float:
    """Median seconds of a fresh interpreter that runs `program`."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
