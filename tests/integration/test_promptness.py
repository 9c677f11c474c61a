"""What a user waits for: programs take their own time and little more, and a closed session is gone at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rain.client import Client, remote, tasks
from rain.deploy.local import LocalCluster


@pytest.fixture(scope="module")
def quick_client() -> Iterator[Client]:
    with LocalCluster(workers=1, cpus=2) as cluster, Client(access=cluster.access_path) as client:
        yield client


@remote()
def answer(ctx):
    return b"here"


def sleepers(marker: str) -> list[psutil.Process]:
    """Processes that sleep for as many seconds as `marker` says."""
    return [process for process in psutil.process_iter(["cmdline"]) if marker in (process.info["cmdline"] or [])]


def wait_for_sleepers(marker: str, n: int) -> list[psutil.Process]:
    deadline = time.monotonic() + 10
    while len(found := sleepers(marker)) < n:
        assert time.monotonic() < deadline, f"expected {n} processes that sleep {marker} s, found {found}"
    return found


def test_two_programs_that_sleep_a_second_take_a_second_each(quick_client: Client) -> None:
    with quick_client.new_session() as session:
        both = [tasks.execute(["sleep", "1"]) for _ in range(2)]
        began = time.monotonic()
        session.submit()
        session.wait_all()
        took = time.monotonic() - began
        session.update(both)
    assert 1.0 <= took < 1.5
    for task in both:
        assert task.info is not None
        assert 1.0 <= task.info.duration <= 1.1


@pytest.mark.parametrize("kind", ["python", "built-in"])
def test_closing_a_session_kills_its_programs_and_the_next_task_starts_at_once(
    quick_client: Client, kind: str, tmp_path: Path
) -> None:
    marker = f"10{len(kind)}7.25"
    with quick_client.new_session() as session:
        # Two cpus, two programs: whoever comes next must wait for the end of one of them.
        for _ in range(2):
            tasks.execute(f"setsid sleep {marker} & sleep {marker}; wait", shell=True)
        session.submit()
        # The shell's own words have the number in them, too, but not as a word of its own.
        found = wait_for_sleepers(marker, 4)
        began = time.monotonic()
    _, alive = psutil.wait_procs(found, timeout=1)
    assert not alive
    assert time.monotonic() - began < 1
    with quick_client.new_session() as session:
        task = answer() if kind == "python" else tasks.concat()
        task.output.keep()
        began = time.monotonic()
        session.submit()
        task.output.fetch()
        assert time.monotonic() - began < 0.2
