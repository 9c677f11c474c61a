"""A client that submits faster than anything can be done waits in `submit`, and nothing piles up anywhere."""

from __future__ import annotations

import threading
from pathlib import Path

import psutil
import pytest

from rain.client import Client, remote
from rain.client.machine import window
from rain.deploy.local import LocalCluster

LIMIT_S = 20.0


@remote()
def wait_for(ctx, path):
    import pathlib
    import time

    while not pathlib.Path(path).exists():
        time.sleep(0.01)
    return b""


@remote()
def noop(ctx):
    return b""


@remote()
def take(ctx, data):
    return b""


def test_a_submit_waits_while_too_much_is_unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "MAX_UNFINISHED_TASKS", 1000)
    gate = tmp_path / "gate"
    with (
        LocalCluster(workers=1, cpus=1) as cluster,
        Client(access=cluster.access_path) as client,
        client.new_session() as session,
    ):
        wait_for(str(gate))
        session.submit()
        n_submits = 0
        done = threading.Event()

        def submit_all() -> None:
            nonlocal n_submits
            for _ in range(20):
                for _ in range(100):
                    noop(session=session)
                session.submit()
                n_submits += 1
            done.set()

        submitter = threading.Thread(target=submit_all, daemon=True)
        submitter.start()
        # Whoever waits does so for as long as nothing is done.
        assert not done.wait(0.5)
        assert n_submits == 10
        gate.touch()
        assert done.wait(LIMIT_S)
        session.wait_all()


def test_arguments_that_wait_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "MAX_UNFINISHED_BYTES", 20 << 20)
    gate = tmp_path / "gate"
    with (
        LocalCluster(workers=1, cpus=1) as cluster,
        Client(access=cluster.access_path) as client,
        client.new_session() as session,
    ):
        server = psutil.Process(cluster.server_pids[0])
        before = server.memory_info().rss
        wait_for(str(gate))
        session.submit()
        done = threading.Event()

        def submit_all() -> None:
            for _ in range(100):
                for _ in range(10):
                    take(b"x" * (200 << 10), session=session)
                session.submit()
            done.set()

        submitter = threading.Thread(target=submit_all, daemon=True)
        submitter.start()
        assert not done.wait(0.5)
        assert server.memory_info().rss - before < 100 << 20
        gate.touch()
        assert done.wait(LIMIT_S)
        session.wait_all()
        assert server.memory_info().rss - before < 150 << 20
