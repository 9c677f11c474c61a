"""Interrupting a cell stops exactly what that cell submitted, in half a second, and says so in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rain.client import Client
from rain.deploy.local import LocalCluster
from tests.integration.notebook_kernel import NotebookKernel, notebook_kernel

SOON_S = 0.5


@pytest.fixture(scope="module")
def kernel(cluster: LocalCluster) -> Iterator[NotebookKernel]:
    with notebook_kernel() as running:
        running.run(
            f"from rain.client import Client, blob, tasks\nclient = Client(access={str(cluster.access_path)!r})"
        )
        running.run("%load_ext rain")
        running.run("session = client.new_session('cells', default=True, fail_fast=False)")
        yield running


@pytest.fixture
def sleeping(client: Client) -> Callable[[str], bool]:
    """Whether a task of that name runs in the session of the kernel."""

    def runs(name: str) -> bool:
        [found] = [each for each in client.sessions() if each["name"] == "cells"]
        return found["tasks"].get("running", 0) >= (2 if name == "both" else 1)

    return runs


def submit(name: str, wait: str) -> str:
    """A cell that submits a long task of that name, held by a variable, and then waits."""
    lines = [f"{name} = tasks.sleep(blob('x'), 600, name='{name}')", "session.submit()", wait]
    return "\n".join(lines)


def states(kernel: NotebookKernel, *names: str) -> str:
    listed = ", ".join(names)
    return kernel.run(f"session.update([{listed}])\n[task.state for task in [{listed}]]").value


@pytest.mark.parametrize("wait", ["session.wait_all()", "await session", "import time; time.sleep(600)"])
def test_what_the_cell_submitted_is_stopped_and_nothing_else(
    kernel: NotebookKernel, sleeping: Callable[[str], bool], wait: str
) -> None:
    kernel.run(submit("before", "pass"))
    took_s = []
    # Twice, since the machine may be busy with something else.
    for _ in range(2):
        output = kernel.run(submit("cell", wait), ok=False, interrupt_when=lambda: sleeping("both"))
        assert output.error.startswith("KeyboardInterrupt: stopped 1 task (cell) of s")
        assert output.error.endswith("'cells'")
        assert "\n" not in output.error
        took_s.append(output.took_s)
    assert min(took_s) < SOON_S
    assert states(kernel, "before", "cell") == "['running', 'cancelled']"
    kernel.run("session.cancel(before)")


def test_awaiting_several_at_once_is_interrupted_too(kernel: NotebookKernel, sleeping: Callable[[str], bool]) -> None:
    code = "import asyncio\nawait asyncio.gather(cell, asyncio.sleep(600))"
    output = kernel.run(submit("cell", code), ok=False, interrupt_when=lambda: sleeping("cell"))
    assert output.error.startswith("KeyboardInterrupt: stopped 1 task (cell)")
    assert states(kernel, "cell") == "['cancelled']"


def test_waiting_for_what_earlier_cells_submitted_stops_nothing(kernel: NotebookKernel, tmp_path: Path) -> None:
    kernel.run(submit("before", "pass"))
    there = tmp_path / "there"
    # Said by another thread: by then this one waits.
    code = f"import pathlib, threading\nthreading.Timer(0.3, pathlib.Path({str(there)!r}).touch).start()\nbefore.wait()"
    output = kernel.run(code, ok=False, interrupt_when=there.exists)
    assert output.error == (
        "KeyboardInterrupt: nothing was stopped: this cell submitted none of the tasks that are not done"
    )
    assert states(kernel, "before") == "['running']"
    kernel.run("session.cancel(before)")


def test_a_session_can_be_told_to_go_on(kernel: NotebookKernel, sleeping: Callable[[str], bool]) -> None:
    kernel.run("%rain session cells --on-interrupt detach")
    output = kernel.run(submit("cell", "%rain wait"), ok=False, interrupt_when=lambda: sleeping("cell"))
    assert output.error.startswith("KeyboardInterrupt: 1 task (cell) of s")
    assert output.error.endswith("'cells' go on")
    assert states(kernel, "cell") == "['running']"
    kernel.run("%rain cancel cell")
    kernel.run("%rain session cells --on-interrupt cancel")


def test_an_interrupt_that_rain_has_nothing_to_do_with_looks_as_ever(kernel: NotebookKernel, tmp_path: Path) -> None:
    there = tmp_path / "there"
    code = f"import pathlib, time\npathlib.Path({str(there)!r}).touch()\ntime.sleep(600)"
    output = kernel.run(code, ok=False, interrupt_when=there.exists)
    assert "time.sleep(600)" in output.error
    assert "KeyboardInterrupt" in output.error
