"""Whoever has no key is refused, and whatever is sent to a port, the service goes on."""

from __future__ import annotations

import os
import random
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import rain
from rain.client import Client, blob, tasks
from rain.deploy.local import LocalCluster
from rain.wire.access import read_access

#: A user without rights, on every Debian machine.
NOBODY = 65534


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(workers=2, cpus=1) as cluster:
        yield cluster


def listening_ports(cluster: LocalCluster) -> dict[tuple[str, int], int]:
    """(address, port) → process of everything that listens in the cluster."""
    found = {}
    for pid in [*cluster.worker_pids, *cluster.server_pids]:
        for connection in psutil.Process(pid).net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                found[connection.laddr.ip, connection.laddr.port] = pid
    return found


def hello(cluster: LocalCluster) -> str:
    with Client(access=cluster.access_path) as client, client.new_session() as session:
        task = tasks.concat(blob("Hello "), blob("world!"))
        task.output.keep()
        session.submit()
        return str(task.output.fetch())


def test_only_the_loopback_address_listens_by_default(cluster: LocalCluster) -> None:
    ports = listening_ports(cluster)
    assert len(ports) >= 4, "a control port, an http port, and data ports of server and workers"
    assert {address for address, _ in ports} == {"127.0.0.1"}


def test_a_megabyte_of_noise_on_each_port_disturbs_nobody(cluster: LocalCluster) -> None:
    noise = random.Random(7).randbytes(1_000_000)
    for address in listening_ports(cluster):
        with socket.create_connection(address, timeout=10) as connection:
            try:
                connection.sendall(noise)
            except OSError:
                continue  # Refused half-way: as it should be.
    assert hello(cluster) == "Hello world!"


@pytest.mark.parametrize(
    "words", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\xff" + b"\0" * 63]
)
def test_other_protocols_disturb_nobody(cluster: LocalCluster, words: bytes) -> None:
    connections = [socket.create_connection(address, timeout=10) for address in listening_ports(cluster)]
    try:
        for connection in connections:
            connection.sendall(words)
        assert hello(cluster) == "Hello world!"
    finally:
        for connection in connections:
            connection.close()


def test_keys_are_readable_by_their_owner_alone(cluster: LocalCluster) -> None:
    folder = cluster.access_path.parent
    assert folder.stat().st_mode & 0o777 == 0o700
    files = list(folder.glob(f"{cluster.port}.*.json"))
    assert len(files) == 3
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can run a program as another user")
def test_another_user_of_the_machine_cannot_read_the_keys(cluster: LocalCluster) -> None:
    command = ["cat", str(cluster.access_path)]
    answer = subprocess.run(command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=False)
    assert answer.returncode != 0
    assert b"Permission denied" in answer.stderr
    assert not answer.stdout


def test_without_a_key_the_error_says_where_it_was_looked_for(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(rain.RainException) as refused:
        Client("localhost", cluster.port)
    assert f"{cluster.port}.client.json" in str(refused.value)
    assert "Looked at" in str(refused.value)


def test_every_file_and_folder_is_its_user_s_alone_whatever_the_umask(run_folder: Path) -> None:
    before = os.umask(0)
    try:
        with (
            LocalCluster(workers=1, cpus=1) as cluster,
            Client(access=cluster.access_path) as client,
            client.new_session() as session,
        ):
            made = tasks.concat(blob(bytes(200_000)), blob(b"x" * 100_000))
            made.output.keep()
            session.submit()
            session.wait_all()
            assert len(made.output.fetch().get_bytes()) == 300_000
            ours = [path for path in run_folder.rglob("*") if "rain" in str(path.relative_to(run_folder))]
            found = {path: path.lstat() for path in ours}
    finally:
        os.umask(before)
    folders = {path: oct(status.st_mode & 0o7777) for path, status in found.items() if stat.S_ISDIR(status.st_mode)}
    files = {path: oct(status.st_mode & 0o7777) for path, status in found.items() if not stat.S_ISDIR(status.st_mode)}
    assert len(folders) > 5
    assert len(files) > 5
    assert {path: mode for path, mode in folders.items() if mode != "0o700"} == {}
    assert {path: mode for path, mode in files.items() if mode not in ("0o600", "0o444")} == {}


def test_no_program_of_a_cluster_leaves_its_memory_on_the_disk(cluster: LocalCluster) -> None:
    for pid in [*cluster.worker_pids, *cluster.server_pids]:
        programs = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        assert {process.rlimit(psutil.RLIMIT_CORE)[0] for process in programs} == {0}


def test_no_secret_stands_in_a_command_line_or_in_what_tasks_inherit(cluster: LocalCluster) -> None:
    access = read_access(cluster.access_path)
    secrets = [access.secret_key, access.token]
    for pid in [*cluster.worker_pids, *cluster.server_pids]:
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            said = " ".join([*process.cmdline(), *process.environ().values()])
            assert not [secret for secret in secrets if secret in said]
