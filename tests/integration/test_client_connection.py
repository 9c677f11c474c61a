"""Finding a server, losing it, and what does not work across processes."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

import rain
from rain.client import Client, RainException, SessionException, blob, function, tasks
from rain.deploy.local import LocalCluster

LIMIT_S = 20.0


@function
def double(number: int) -> int:
    return 2 * number


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_client_finds_the_keys_by_the_port(cluster: LocalCluster) -> None:
    for made in (
        Client("localhost", cluster.port),
        Client(f"localhost:{cluster.port}"),
        Client(port=cluster.port),
        Client(access=cluster.access_path),
    ):
        with made as client:
            assert client.address == f"127.0.0.1:{cluster.port}"
            assert len(client.get_server_info()["workers"]) == 2


def test_a_server_that_is_not_there_is_an_error_within_seconds(cluster: LocalCluster) -> None:
    port = free_port()
    with pytest.raises(
        RainException, match=f"Cannot connect to 127.0.0.1:{port}: nothing listens there. Start a server"
    ):
        Client("127.0.0.1", port, access=cluster.access_path)
    with pytest.raises(RainException, match=f"No keys for the server at 127.0.0.1:{port}"):
        Client("127.0.0.1", port)


def test_the_file_of_a_worker_is_no_key_for_a_client(cluster: LocalCluster) -> None:
    path = cluster.access_path.with_name(cluster.access_path.name.replace(".client.", ".worker."))
    with pytest.raises(RainException, match="is the access file of a worker"):
        Client("localhost", cluster.port, access=path)


def test_the_server_tells_of_its_workers_and_sessions(client: Client) -> None:
    with client.new_session("named") as session:
        task = double(1)
        task.output.keep()
        session.submit()
        session.wait_all(timeout=LIMIT_S)
        info = client.get_server_info()
        assert {worker["worker_id"] for worker in info["workers"]} == {"w1", "w2"}
        assert all(worker["resources"]["cpus"] == 2 for worker in info["workers"])
        [mine] = [each for each in client.sessions() if each["name"] == "named"]
        assert mine["session_id"] == f"s{session.session_id}"
        client.update([task, task.output])
        assert (task.state, task.output.state) == ("finished", "finished")


def test_a_lost_server_ends_every_wait_and_says_which_server_it_was() -> None:
    cluster = rain.local(workers=1, cpus=1)
    try:
        client = Client(access=cluster._cluster.access_path)
        session = client.new_session()
        task = tasks.sleep(blob("x", session=session), 600, session=session)
        session.submit()
        stopper = threading.Timer(0.2, cluster.stop)
        stopper.start()
        with pytest.raises(SessionException, match=f"the connection to the server at {client.address} was lost"):
            task.wait(timeout=LIMIT_S)
        stopper.join()
        with pytest.raises(SessionException, match="was lost"):
            session.wait_all(timeout=LIMIT_S)
        with pytest.raises(SessionException, match="was lost"):
            client.new_session()
        session.close()
        client.close()
    finally:
        cluster.stop()


def test_workers_can_be_added_to_a_local_cluster() -> None:
    with rain.local(workers=1, cpus=1) as cluster:
        client = cluster.client()
        cluster.add_worker(cpus=3)
        cpus = sorted(worker["resources"]["cpus"] for worker in client.get_server_info()["workers"])
        assert cpus == [1, 3]


def test_a_closed_client_closes_its_sessions_and_says_so(cluster: LocalCluster) -> None:
    client = Client(access=cluster.access_path)
    session = client.new_session(default=True)
    folder = client._shell.directory
    assert folder.stat().st_mode & 0o777 == 0o700
    client.close()
    client.close()
    assert not folder.exists()
    assert session.state == "closed"
    with pytest.raises(RainException, match="there is no active session"):
        double(1)
    with pytest.raises(SessionException, match="the client was closed"):
        client.new_session()


def test_a_client_that_is_let_go_ends(cluster: LocalCluster) -> None:
    client = Client(access=cluster.access_path)
    session = client.new_session()
    task = double(2, session=session)
    assert session.compute(task, timeout=LIMIT_S).load() == 4
    shell = client._shell
    del client
    gc.collect()
    assert shell.usable
    del session, task
    gc.collect()
    assert not shell.usable
    assert not shell._thread.is_alive()


def test_closing_the_client_wakes_who_waits(cluster: LocalCluster) -> None:
    client = Client(access=cluster.access_path)
    session = client.new_session()
    task = tasks.sleep(blob("x", session=session), 600, session=session)
    session.submit()
    closer = threading.Timer(0.1, client.close)
    closer.start()
    with pytest.raises(SessionException, match="closed"):
        task.wait(timeout=LIMIT_S)
    closer.join()


@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_child_is_told_to_make_its_own_client(client: Client) -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover
        try:
            client.new_session()
        except RainException as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    said = os.read(reader, 4096).decode()
    os.close(reader)
    os.waitpid(pid, 0)
    assert "make a new Client() in this process" in said
    assert client.get_server_info()["workers"]


def test_a_forked_child_is_told_so_even_if_a_thread_was_building_when_it_was_forked(client: Client) -> None:
    with client.new_session() as session:
        task = double(1)
        calls: list[Any] = [
            lambda: blob("x", session=session),
            lambda: double(1),
            task.output.keep,
            task.output.unkeep,
            task.wait,
            session.submit,
            session.keep_all,
            session.__enter__,
        ]
        held, release = threading.Event(), threading.Event()

        def build() -> None:
            with session._graph.lock:
                held.set()
                release.wait(LIMIT_S)

        builder = threading.Thread(target=build)
        builder.start()
        held.wait(LIMIT_S)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:  # pragma: no cover
            # Whoever hangs is ended, and nothing of the test goes on in the child.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
            try:
                for call in calls:
                    with contextlib.suppress(RainException):
                        call()
                        os.write(writer, b"not told\n")
                warnings.simplefilter("ignore")
                session.close()
                os.write(writer, b"closed\n")
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            said = pipe.read().splitlines()
        os.waitpid(pid, 0)
        release.set()
        builder.join()
        assert said == ["closed"]
        session.submit()


def test_no_guard_is_needed_in_a_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from rain import Client, tasks, blob\n"
        "client = Client()\n"
        "session = client.new_session(default=True)\n"
        "print(session.compute(tasks.concat(blob('no '), blob('guard'))))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(rain.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=30, check=False, env=environment
    )
    assert (done.returncode, done.stdout) == (0, "no guard\n"), done.stderr


ONE_WHO_WAITS = """
from rain.client import Client, tasks
client = Client()
with client.new_session() as session:
    tasks.execute(["sleep", "600"])
    session.submit()
    print("waiting", flush=True)
    session.wait_all()
"""


def test_a_program_that_is_killed_leaves_no_files(tmp_path: Path) -> None:
    folders = {"TMPDIR": tmp_path / "tmp", "XDG_RUNTIME_DIR": tmp_path / "run"}
    for folder in folders.values():
        folder.mkdir(mode=0o700)
    environment = {**os.environ, **{name: str(folder) for name, folder in folders.items()}}
    with subprocess.Popen(
        [sys.executable, "-c", ONE_WHO_WAITS], stdout=subprocess.PIPE, env=environment, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "waiting\n"
        program.kill()
    left: list[Path] = []
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        left = [path for folder in folders.values() for path in folder.glob("*/*")]
        if not left:
            return
        time.sleep(0.02)
    pytest.fail(f"left behind: {left}")


def test_what_no_method_of_a_client_can_use_is_refused_and_the_client_goes_on(
    cluster: LocalCluster, client: Client
) -> None:
    refused: list[tuple[Any, str]] = [
        (lambda: Client(access=3), "access: expected the path of an access file, found 3"),  # type: ignore[arg-type]
        (lambda: Client("localhost", True), "a port is a number from 1 to 65535, found True"),
        (lambda: client.new_session(3), "name: expected a text or None, found 3"),  # type: ignore[arg-type]
        (lambda: client.new_session(ttl=0), "ttl: expected seconds above 0 or None, found 0"),
        (lambda: client.new_session(ttl=1e12), "A session outlives its client by 0 to 3153600000 seconds"),
        (lambda: client.why("x"), "expected the id of a task such as 's1.t3', found 'x'"),
        (lambda: client.drain("x"), "expected the id of a worker such as 'w2', found 'x'"),
        (lambda: client.drain("w99", wait="no"), "there is no worker w99"),  # type: ignore[arg-type]
        (lambda: client.update([3]), "expected tasks and data objects, found int: 3"),  # type: ignore[list-item]
        (lambda: client.attach(""), "attach: expected the name of a session, found ''"),
        (lambda: pickle.dumps(client), "a connection belongs to its process"),
    ]
    for call, text in refused:
        with pytest.raises(RainException, match=re.escape(text)):
            call()
    with client.new_session() as session:
        assert session.compute(double(2), timeout=LIMIT_S).load() == 4


def test_what_no_method_of_a_session_can_use_is_refused_and_the_session_goes_on(client: Client) -> None:
    with client.new_session() as session:
        done = double(1)
        session.submit()
        session.wait_all(timeout=LIMIT_S)
        calls = (session.wait, session.wait_some, session.as_completed, session.update, session.cancel)
        for call in (*calls, session.fetch, session.unkeep, session.compute):
            for wrong in (3, None, object(), "text", [done, [done]]):
                with pytest.raises(RainException, match=r"expected .*data object"):
                    call(wrong)  # type: ignore[operator]
        new = double(2)
        with pytest.raises(RainException, match="timeout: expected seconds or None, found 'soon'"):
            session.compute(new, timeout="soon")  # type: ignore[arg-type]
        assert (new.output.is_kept(), session.task_count) == (False, 1)
        with pytest.raises(RainException, match="cannot be pickled: a task cannot use it"):
            pickle.dumps(session)
        with pytest.raises(TypeError, match="not iterable"):
            list(session.tasks)  # type: ignore[call-overload]
        assert session.compute(new, timeout=LIMIT_S).load() == 4


def test_thousands_of_sessions_come_and_go(client: Client) -> None:
    before = {each["session_id"] for each in client.sessions()}
    opened = [client.new_session(f"n{number}") for number in range(1000)]
    assert len({each["session_id"] for each in client.sessions()} - before) == 1000
    for session in opened:
        session.close()
    assert {each["session_id"] for each in client.sessions()} == before
