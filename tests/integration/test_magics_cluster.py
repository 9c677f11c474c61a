"""Clusters that a notebook starts: found again, stopped, lost; and kernels that are killed or restarted."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from rain.cli.connect import running_clusters
from rain.client import Client
from tests.integration.notebook_kernel import NotebookKernel, notebook_kernel, wait_until

#: Ends soon after it is left alone.
START = "%rain start --workers 1 --cpus 1 --listen 127.0.0.1:0 --http-listen 127.0.0.1:0 --end-when-idle 1"


@pytest.fixture(autouse=True)
def own_machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A runtime folder of the test's own, so that no other cluster is found; what is left in it is ended."""
    folder = tmp_path_factory.mktemp("run", numbered=True)
    folder.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield
    for access in running_clusters():
        with Client(access.host, access.port) as client:
            client.shutdown()


@pytest.fixture
def kernel(own_machine: None) -> Iterator[NotebookKernel]:
    with notebook_kernel() as running:
        assert running.run("%load_ext rain").text == ""
        yield running


def server_pids() -> list[int]:
    return [access.pid for access in running_clusters()]


def ended(pids: list[int]) -> Callable[[], bool]:
    """Whether none of these processes is left."""
    return lambda: not any(map(_is_alive, pids))


def _is_alive(pid: int) -> bool:
    try:
        # A kernel does not wait for the programs that it let go.
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_cluster_is_found_again_and_stopped(kernel: NotebookKernel) -> None:
    first = kernel.run(START).printed
    assert first.startswith("Rain is ready: server 127.0.0.1:")
    assert first.endswith(", workers: 1, cpus: 1")
    assert kernel.run("client = %rain start").printed == first
    assert kernel.run("client is get_ipython()._rain_extension.notebook.connected").value == "True"
    assert "that is less than was asked for" in kernel.run("%rain start --workers 5", ok=False).error
    assert len(running_clusters()) == 1
    assert kernel.run("%rain connect").value.startswith("<Client of 127.0.0.1:")
    pids = server_pids()
    assert kernel.run("%rain stop").printed == "stopped " + first.split()[4].rstrip(",")
    assert ended(pids)()
    assert "no cluster of yours runs" in kernel.run("%rain workers", ok=False).error


def test_a_server_that_died_is_one_clear_line_and_another_one_can_be_started(kernel: NotebookKernel) -> None:
    kernel.run(f"{START}\n%rain session demo")
    [pid] = server_pids()
    os.kill(pid, signal.SIGKILL)
    wait_until(ended([pid]), "the server's end")
    wait_until(
        lambda: "was lost" in kernel.run("%rain workers", ok=False).error, "the notebook to notice that the server died"
    )
    for line in ("%rain session other", "%rain status"):
        error = kernel.run(line, ok=False).error
        assert error.startswith("RainException: the connection to 127.0.0.1:")
        assert "\n" not in error
    assert kernel.run(START).printed.startswith("Rain is ready")
    assert kernel.run("s = %rain session demo\ns").value.startswith("<Session s1 'demo'")


def test_after_a_restart_the_session_is_found_again_with_its_values(kernel: NotebookKernel) -> None:
    kernel.run(f"{START}\n%rain session demo --ttl 60")
    kernel.run("%%rain task -o answer --name compute\nanswer = 42")
    kernel.run("%rain submit\n%rain wait")
    kernel.restart()
    kernel.run("%load_ext rain")
    assert "demo" not in kernel.complete("%rain session de")
    assert kernel.run("s = %rain session demo").printed == "going on with 'demo': 1 finished tasks"
    assert kernel.complete("%rain session de") == ["demo"]
    assert kernel.complete("%rain why comp") == ["compute"]
    assert kernel.complete("%rain drain ") == ["w1"]
    assert kernel.complete("%rain sta") == ["start", "status"]
    assert kernel.run("s.tasks['compute'].output.fetch().load()").value == "42"
    kernel.run("s.close()")


def test_nothing_is_left_of_a_notebook_that_was_killed(kernel: NotebookKernel, tmp_path: Path) -> None:
    kernel.run(f"{START}\n%rain session demo --ttl 0\nfrom rain.client import blob, tasks")
    kernel.run("task = tasks.sleep(blob('x'), 600)\n%rain submit")
    [pid] = server_pids()
    tree = [pid, *(worker["pid"] for worker in _workers())]
    os.kill(kernel.pid, signal.SIGKILL)
    wait_until(ended(tree), "the cluster's end")
    assert running_clusters() == []


def _workers() -> list[dict[str, int]]:
    [access] = running_clusters()
    with Client(access.host, access.port) as client:
        workers: list[dict[str, int]] = client.get_server_info()["workers"]
        return workers
