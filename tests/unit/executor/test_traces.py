"""Whether a task left something behind; in a process of its own, since Python tells of moves for ever once asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import os, sys
from rain.executor.traces import TaskTraces
root, folder = sys.argv[1], sys.argv[2]
traces = TaskTraces([f"{root}/out"], f"{root}/{folder}")
os.chdir(f"{root}/here")
traces.clear()
before = traces.any()
exec(sys.argv[3])
found = traces.any()
traces.clear()
print(before, found, traces.any())
"""


def traces_of(root: Path, action: str, folder: str = "here") -> list[str]:
    """Whether there are traces before the action, after it, and when they were cleared."""
    (root / "here").mkdir()
    (root / "out").touch()
    command = [sys.executable, "-c", _PROGRAM, str(root), folder, action]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize(
    "action",
    [
        "open(f'{root}/out', 'a').write('x')",
        "open('file', 'w')",
        "os.mkdir('folder')",
        "os.chmod('.', 0o500)",
        "os.rmdir(f'{root}/here'); os.mkdir(f'{root}/here')",
        "os.chdir('/')",
    ],
)
def test_what_a_task_leaves_is_noticed_once(tmp_path: Path, action: str) -> None:
    assert traces_of(tmp_path, action) == ["False", "True", "False"]


@pytest.mark.parametrize("action", ["pass", "open(f'{root}/out').read()", "os.listdir('.')"])
def test_looking_leaves_no_traces(tmp_path: Path, action: str) -> None:
    assert traces_of(tmp_path, action) == ["False", "False", "False"]


def test_where_nothing_can_be_watched_there_may_always_be_traces(tmp_path: Path) -> None:
    assert traces_of(tmp_path, "pass", folder="not there") == ["True", "True", "True"]
