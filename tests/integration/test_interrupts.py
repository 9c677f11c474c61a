"""Ctrl-C in every call that blocks: a real SIGINT to a real program, which goes on with the same client."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SOON_S = 0.5
LIMIT_S = 20.0

PROGRAM = """
import os, signal, socket
import rain
from rain.client import Client, blob, tasks
from rain.client.machine import window


def interrupted(name, call):
    print(name, flush=True)
    try:
        call()
    except KeyboardInterrupt:
        print("back", flush=True)
    else:
        print("not interrupted", flush=True)


def is_usable(client):
    with client.new_session() as session:
        assert session.compute(tasks.concat(blob("ok")), timeout=20) == "ok"


def waits(client):
    session = client.new_session()
    with session.bind_only():
        task = tasks.sleep(blob("x"), 600)
        task.keep_outputs()
        session.submit()
        for call in (task.wait, session.wait_all, task.output.fetch, task.fetch_outputs):
            interrupted(call.__qualname__, call)
        interrupted("wait_some", lambda: session.wait_some([task]))
        interrupted("as_completed", lambda: list(session.as_completed([task])))
        interrupted("compute", lambda: session.compute(tasks.concat(task)))
        limit, window.MAX_UNFINISHED_TASKS = window.MAX_UNFINISHED_TASKS, 0
        waiting = tasks.concat(blob("y"))
        interrupted("submit", session.submit)
        assert waiting.state is None
        window.MAX_UNFINISHED_TASKS = limit
        session.submit()
        waiting.wait(timeout=20)
    session.close()


def with_a_server_that_is_silent(cluster, client):
    session = client.new_session()
    with session.bind_only():
        task = tasks.concat(blob("x"))
        session.submit()
    other = cluster.client()
    calls = {
        "new_session": client.new_session,
        "get_server_info": client.get_server_info,
        "attach": lambda: client.attach("x"),
        "update": task.update,
        "cancel": task.cancel,
        "find": lambda: session.tasks["x"],
        "session.close": session.close,
        "connect": cluster.client,
        "client.close": other.close,
    }
    [pid] = cluster._cluster.server_pids
    os.kill(pid, signal.SIGSTOP)
    try:
        for name, call in calls.items():
            interrupted(name, call)
    finally:
        os.kill(pid, signal.SIGCONT)


with rain.local(workers=2, cpus=1) as cluster:
    client = cluster.client()
    waits(client)
    is_usable(client)
    with_a_server_that_is_silent(cluster, client)
    is_usable(client)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        interrupted("Client", lambda: Client("127.0.0.1", port, access=cluster._cluster.access_path))
    is_usable(client)
    with client.new_session() as session:
        both = [tasks.sleep(blob("x"), 600) for _ in range(2)]
        session.submit()
        interrupted("drain", lambda: client.drain("w2"))
        assert client.get_server_info()["workers"][1]["draining"]
print("done", flush=True)
"""


def until_it_sleeps(pid: int) -> None:
    """Returns when the main thread of a process has waited for something for a while."""
    deadline = time.monotonic() + LIMIT_S
    seen: tuple[str, str] | None = None
    while time.monotonic() < deadline:
        stat = Path(f"/proc/{pid}/task/{pid}/stat").read_text()
        state = stat.rpartition(")")[2].split()
        found = (state[0], "".join(state[11:13]))
        if found == seen and found[0] == "S":
            return
        seen = found
        # The time of a process is counted in hundredths of a second.
        os.sched_yield()
        time.sleep(0.02)
    raise AssertionError("the program never came to wait")


def test_every_blocking_call_ends_at_ctrl_c_and_the_client_stays_usable(run_folder: Path) -> None:
    began = time.monotonic()
    slow: list[str] = []
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            names = []
            while (name := program.stdout.readline().strip()) not in {"", "done"}:
                names.append(name)
                until_it_sleeps(program.pid)
                sent = time.monotonic()
                program.send_signal(signal.SIGINT)
                assert program.stdout.readline() == "back\n", f"{name} was not interrupted"
                if time.monotonic() - sent > SOON_S:
                    slow.append(f"{name}: {time.monotonic() - sent:.2f} s")
            assert name == "done", f"the program ended after {names}"
        finally:
            program.kill()
    assert not slow
    assert len(names) == 19
    assert time.monotonic() - began < 60
