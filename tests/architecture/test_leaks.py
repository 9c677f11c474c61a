"""The check for what a test run leaves behind finds it, and finds nothing of anybody else's."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import leaks


@contextmanager
def waiting_program(*, run_id: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like the program `name` of the run `run_id` and waits for its standard input to end."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", name]
    environment = {**os.environ, leaks.RUN_VARIABLE: run_id}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
        yield process


def test_a_process_of_this_run_that_still_lives_is_found():
    with waiting_program(run_id="one", name="rain.worker") as process:
        assert [leaked.pid for leaked in leaks.leaked_processes("one", grace_s=0)] == [process.pid]


def test_a_process_of_another_run_is_not_ours():
    with waiting_program(run_id="other", name="rain.worker"):
        assert leaks.leaked_processes("one", grace_s=0) == []


def test_a_process_that_is_no_program_of_rain_is_not_a_leak():
    with waiting_program(run_id="one", name="an editor"):
        assert leaks.leaked_processes("one", grace_s=0) == []


def test_a_process_that_ends_within_the_grace_is_not_a_leak():
    with waiting_program(run_id="one", name="rain.server") as process:
        assert process.stdin is not None
        process.stdin.close()
        assert leaks.leaked_processes("one", grace_s=30) == []


def test_files_and_sockets_are_found_and_empty_folders_are_not(run_folder):
    # Under the run's folder, whose path is short enough for a socket.
    with tempfile.TemporaryDirectory(dir=run_folder) as name, socket.socket(socket.AF_UNIX) as listener:
        folder = Path(name)
        (folder / "rain" / "empty").mkdir(parents=True)
        assert leaks.leaked_files(folder) == []
        (folder / "rain" / "7210.client.json").write_text("{}")
        listener.bind(str(folder / "rain" / "socket"))
        assert [path.name for path in leaks.leaked_files(folder)] == ["7210.client.json", "socket"]


def test_what_rain_leaves_in_a_temporary_folder_is_found_and_what_others_leave_is_not(tmp_path):
    (tmp_path / "rain-1000").mkdir()
    (tmp_path / "somebody.txt").write_text("else")
    assert leaks.leaked_entries(tmp_path) == []
    (tmp_path / "rain-1000" / "s1.o7").write_text("data")
    assert leaks.leaked_entries(tmp_path) == [tmp_path / "rain-1000"]


def test_the_run_has_folders_of_its_own_and_an_id(run_folder):
    assert os.environ[leaks.RUN_VARIABLE]
    for variable in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "TMPDIR"):
        assert Path(os.environ[variable]).parent == run_folder
    assert Path(tempfile.gettempdir()).parent == run_folder
    assert len(str(run_folder)) < 40
