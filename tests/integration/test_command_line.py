"""The command line with real processes."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rain.client import Client, blob, remote, tasks
from rain.deploy.ended import wait_ended
from rain.deploy.local import LocalCluster
from tests.integration.command_line import path_with_stand_ins, rain, rain_json, running, write_script


@pytest.fixture(autouse=True)
def own_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clusters of other tests are not seen here, and none of ours leaves an access file."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield
    assert [file.name for file in folder.rglob("*") if file.is_file()] == []


def hello(address: str) -> str:
    with Client(address) as client, client.new_session() as session:
        task = tasks.concat(blob("Hello "), blob("world!"))
        task.output.keep()
        session.submit()
        return str(task.output.fetch())


def processes_of(address: str) -> list[psutil.Process]:
    """The processes that `rain ps` shows, and everything they started."""
    shown = [psutil.Process(row["pid"]) for row in rain_json("ps", address)]
    return shown + [child for process in shown for child in process.children(recursive=True)]


def test_after_rain_run_the_hello_world_runs_and_stop_leaves_nothing() -> None:
    with running("--local_worker=1") as address:
        assert hello(address) == "Hello world!"
        processes = processes_of(address)
        assert len(processes) > 2
    assert wait_ended([process.pid for process in processes], 0) == []


def test_status_lists_workers_and_sessions() -> None:
    with running("--local-workers", "[2,1]") as address:
        with Client(address) as client, client.new_session("mine"):
            status = rain_json("status", address)
            text = rain("status", address)
        assert sorted(worker["resources"]["cpus"] for worker in status["workers"]) == [1, 2]
        assert [session["name"] for session in status["sessions"]] == ["mine"]
        assert "mine" in text
        assert "w1" in text
        assert len(rain_json("workers", address)) == 2
        assert rain_json("sessions", address) == []


def test_running_it_again_says_that_it_runs() -> None:
    with running("--local-workers", "1") as address:
        said = rain("run", "--listen", address, "--local-workers", "1")
        assert f"running already: server {address}" in said
        said = rain("run", "--listen", address, "--local-workers", "3", ok=False)
        assert "less than was asked for (workers: 3, cpus here:" in said
        said = rain("run", "--listen", address, "--local-workers", "[64]", ok=False)
        assert "less than was asked for (workers: 1, cpus of each: 64)" in said


def test_ps_shows_which_executor_runs_which_task_and_logs_are_json_too(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    with running("--local-workers", "[2]") as address:
        with Client(address) as client, client.new_session() as session:

            @remote(outputs=0)
            def wait_at(ctx, path: str) -> None:
                Path(path).read_text()

            task = wait_at(str(tmp_path / "gate"))
            session.submit()
            with (tmp_path / "gate").open("w"):
                # Only now it is known to run.
                rows = [row for row in rain_json("ps", address) if "executor" in row["process"]]
                assert [row["tasks"] for row in rows if row["tasks"]] == [[task.id]]
            session.wait_all()
        assert [row["tasks"] for row in rain_json("ps", address) if row["tasks"]] == []
        logs = rain_json("logs", "-n", "1", address)
        assert [(log["programs"], len(log["lines"])) for log in logs] == [(["server"], 1), (["w1"], 1)]
        assert [log["path"] for log in logs] == rain("logs", "--path", address).split()


def test_a_port_that_is_taken_is_named_and_nothing_stays() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = rain("run", "--listen", f"127.0.0.1:{port}", "--local-workers", "1", ok=False)
    assert str(port) in said
    assert "in use" in said


def test_an_address_of_another_machine_is_named_with_the_port_that_was_asked_for() -> None:
    said = rain("run", "--listen", "203.0.113.7:7299", "--local-workers", "0", ok=False)
    assert "Cannot listen on 203.0.113.7:7299: this machine has no such address" in said


def test_a_cluster_without_workers_says_how_to_add_some() -> None:
    said = rain("run", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--local-workers", "0")
    found = re.search(r"add some:  rain worker (127\.0\.0\.1:\d+)", said)
    assert found, said
    rain("stop", found[1])


def test_a_worker_without_a_server_says_what_it_tried(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said = rain("worker", f"127.0.0.1:{port}", ok=False)
    assert str(port) in said


def test_a_second_worker_joins_in_the_background() -> None:
    with running("--local-workers", "1") as address:
        assert "is ready" in rain("worker", address, "--cpus", "1", "--background")
        assert len(rain_json("workers", address)) == 2


def test_a_worker_runs_in_the_foreground_until_its_server_stops() -> None:
    with running("--local-workers", "0") as address:
        command = [sys.executable, "-m", "rain.cli.main", "worker", address, "--cpus", "1"]
        worker = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            assert hello(address) == "Hello world!"
        except BaseException:
            worker.kill()
            worker.wait()
            raise
    worker.wait(10)


def test_hosts_of_a_file_get_a_worker_each_over_ssh(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("alpha\nbeta\n")
    env = path_with_stand_ins(tmp_path)
    marker = tmp_path / "initialised"
    with running("--worker-host-file", str(tmp_path / "hosts"), "--remote-init", f"touch {marker}", env=env) as address:
        assert len(rain_json("workers", address)) == 2
        assert hello(address) == "Hello world!"
    assert sorted((tmp_path / "hosts-reached").read_text().split()) == ["alpha", "beta"]
    assert marker.exists()


def test_a_host_that_cannot_be_reached_is_named_and_the_rest_is_ended(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("alpha\nunreachable\n")
    env = path_with_stand_ins(tmp_path)
    options = ["--listen", "127.0.0.1:0", "--worker-host-file", str(tmp_path / "hosts")]
    said = rain("run", *options, env=env, ok=False)
    assert "unreachable: status 255: ssh: no route to host" in said
    assert rain_json("ps") == []


def test_inside_a_slurm_job_each_of_its_hosts_gets_a_worker(tmp_path: Path) -> None:
    env = path_with_stand_ins(tmp_path) | {"SLURM_JOB_NODELIST": "node[1-2]"}
    write_script(tmp_path / "scontrol", 'printf "node1\\nnode2\\n"\n')
    with running("--autoconf", "slurm", env=env) as address:
        assert len(rain_json("workers", address)) == 2


def test_stop_all_ends_embedded_clusters_too() -> None:
    with LocalCluster(workers=1, cpus=1) as cluster:
        pids = cluster.worker_pids
        said = rain("stop", "--all")
        assert str(cluster.port) in said
        assert wait_ended(pids, 0) == []
    assert rain_json("ps") == []


def test_stop_without_a_cluster_says_so() -> None:
    assert "no cluster" in rain("stop", ok=False)
    assert "no cluster" in rain("stop", "--all")


@pytest.mark.parametrize("options", [["--listen", "127.0.0.1:x"], ["--local-workers", "many"], ["--autoconf", "lsf"]])
def test_nonsense_options_are_refused_before_anything_starts(options: list[str]) -> None:
    assert "Invalid value" in rain("run", *options, ok=False)
    assert rain_json("ps") == []
