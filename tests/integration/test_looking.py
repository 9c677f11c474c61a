"""The commands that look into a cluster: its executors, its logs, and why tasks are not done."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rain import local
from rain.client import Client, RainException, blob, tasks
from rain.deploy.ended import wait_ended
from tests.integration.command_line import rain, rain_json, running

LIMIT_S = 20.0


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def busy_cluster() -> Iterator[str]:
    """One worker with two cpus: s1.t0 runs a program that does not end, s1.t1 reads it, s1.t2 fits nowhere."""
    with local(workers=1, cpus=2) as cluster, cluster.client() as client, client.new_session() as session:
        program = tasks.execute(["sleep", "1000"], stdout=True, name="long one")
        tasks.concat(program.output)
        tasks.sleep(blob("x"), 0, cpus=64, name="big one")
        session.submit()
        yield client.address


def until(seen: Callable[[], Any]) -> Any:
    """What `seen` finds, asked again until it finds something; every asking is a request, which takes its time."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        found = seen()
        if found:
            return found
    raise AssertionError("it was never seen")


def test_ps_shows_executors_and_what_they_run(busy_cluster: str) -> None:
    def running_executors() -> Any:
        rows = [row for row in rain_json("ps", busy_cluster) if row["process"] == "w1 executor"]
        return rows if any(row["programs"] for row in rows) else None

    executors = until(running_executors)
    assert len(executors) == 2
    assert sorted(row["programs"] for row in executors) == [[], ["sleep 1000"]]
    [worker] = [row for row in rain_json("ps", busy_cluster) if row["process"] == "w1"]
    assert (worker["tasks"], worker["n_tasks"]) == (["s1.t0"], 1)
    tree = {child.pid for child in psutil.Process(worker["pid"]).children(recursive=True)}
    assert {row["pid"] for row in executors} <= tree
    text = rain("ps", busy_cluster)
    assert re.search(r"w1 +\S+ +\d+ +s1\.t0\n", text)
    assert re.search(r"w1 executor +\S+ +\d+ +s1\.t0 sleep 1000\n", text)


def test_status_shows_tasks_that_no_worker_can_run(busy_cluster: str) -> None:
    text = rain("status", busy_cluster)
    assert re.search(r"s1 +1 +s1\.t2 +cpus=64\n", text)
    assert f"`rain worker {busy_cluster}`" in text
    assert rain_json("status", busy_cluster)["impossible"] == [
        {"session_id": "s1", "first_task": "s1.t2", "n_tasks": 1, "needed": {"cpus": 64}}
    ]


def test_why_tells_what_tasks_wait_for(busy_cluster: str) -> None:
    assert "s1.t0 'long one' was given to w1" in rain("why", "s1.t0", busy_cluster)
    assert "missing: s1.o0 of s1.t0 'long one', which is running on w1" in rain("why", "s1.t1", busy_cluster)
    said = rain_json("why", "s1.t2", busy_cluster)
    assert said["task"] == "s1.t2"
    assert "needed is cpus=64" in said["why"][0]
    everything = rain("why", busy_cluster).splitlines()
    assert [line.split()[0] for line in everything] == ["s1.t2", "s1.t0", "s1.t1"]
    assert rain("why", "s1", busy_cluster).splitlines()[0] == everything[0]
    assert rain("why", "s1.o0", busy_cluster).startswith("s1.t0 'long one' was given to w1")
    assert "s1.t9 was not submitted" in rain("why", "s1.t9", busy_cluster, ok=False)
    assert "there is no session s7" in rain("why", "s7.t0", busy_cluster, ok=False)
    assert "such as 's1.t3', found 'sort'" in rain("why", "sort", busy_cluster, ok=False)


def test_a_client_asks_why_of_its_task() -> None:
    with local(workers=1, cpus=1) as cluster, cluster.client() as client, client.new_session() as session:
        task = tasks.concat(blob("x"))
        session.submit()
        task.wait(timeout=LIMIT_S)
        [line] = client.why(task)
        assert "finished on w1" in line
        with pytest.raises(RainException, match=r"expected the id of a task such as 's1\.t3', found 5"):
            client.why(5)  # type: ignore[arg-type]


def test_a_worker_that_is_drained_leaves_its_data_and_its_tasks_done() -> None:
    with local(workers=2, cpus=1) as cluster, cluster.client() as client, client.new_session() as session:
        made = [tasks.concat(blob(letter * 200_000)) for letter in "abcd"]
        for task in made:
            task.output.keep()
        session.submit()
        session.wait_all(timeout=LIMIT_S)
        pid = rain_json("workers", client.address)[0]["pid"]
        running = tasks.sleep(blob("x"), 0.5)
        session.submit()
        assert rain("drain", "w1", client.address) == "w1 has left\n"
        assert wait_ended([pid], 0) == []
        assert [worker["worker_id"] for worker in rain_json("workers", client.address)] == ["w2"]
        assert all("finished" in client.why(task)[0] for task in made)
        assert [str(task.output.fetch(timeout=LIMIT_S))[:1] for task in made] == list("abcd")
        running.wait(timeout=LIMIT_S)
        assert "w2 is needed, no other worker stays" in rain("drain", "w2", client.address, ok=False)
        assert "no worker w9" in rain("drain", "w9", client.address, ok=False)
        assert "such as 'w2', found 'beta'" in rain("drain", "beta", client.address, ok=False)


def test_draining_warns_of_what_waits_for_a_worker_like_the_one_that_left() -> None:
    with local(workers=1, cpus=1) as cluster, cluster.client() as client, client.new_session() as session:
        cluster.add_worker(cpus=2)
        wide = tasks.sleep(blob("x"), 0, cpus=4)
        session.submit()
        until(lambda: client.get_server_info()["sessions"][0]["impossible"])
        said = rain("drain", "w2", client.address)
        assert "w2 has left" in said
        assert "warning: s1: " in said
        assert "cpus=4" in said
        session.cancel(wide)
        assert "no worker is left, and sessions are open (s1)" in rain("drain", "w1", client.address)


def test_a_client_drains_a_worker_without_waiting() -> None:
    with local(workers=2, cpus=1) as cluster, cluster.client() as client:
        client.drain("w1", wait=False)
        until(lambda: [worker["worker_id"] for worker in client.get_server_info()["workers"]] == ["w2"])


def test_logs_of_server_and_workers_are_found_and_followed(tmp_path: Path) -> None:
    with running("--local-workers", "[1,1]") as address:
        paths = [Path(line) for line in rain("logs", address, "--path").splitlines()]
        assert [path.parent for path in paths] == [tmp_path / "state" / "rain" / "logs"] * 3
        text = rain("logs", address)
        assert f"==> server: {paths[0]}\n" in text
        assert "rain.worker: joined as w2" in text
        assert "joined as w2" not in rain("logs", address, "-n", "0")
        command = [sys.executable, "-m", "rain.cli.main", "logs", "--follow", "-n", "0"]
        follower = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert follower.stdout is not None
        assert follower.stdout.readline() == f"==> server: {paths[0]}\n"
        with Client(address) as client:
            client.new_session("seen").close()
    followed, _ = follower.communicate(timeout=LIMIT_S)
    assert follower.returncode == 0
    assert "ending: nothing is accepted any more" in followed
    assert "rain.worker: ending" in followed


def test_a_log_folder_of_its_own_is_known(tmp_path: Path) -> None:
    with running("--local-workers", "0", "--logdir", str(tmp_path / "mine")) as address:
        [log] = rain("logs", "--path").splitlines()
        assert Path(log).parent == tmp_path / "mine"
        rain("worker", address, "--cpus", "1", "--background", "--logdir", str(tmp_path / "other"))
        assert Path(rain("logs", "--path").splitlines()[1]).parent == tmp_path / "other"
