"""Folders that outlive a killed process only until the next one looks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rain.wire.owned_directory import new_owned_directory, sweep_owned

MAKE = """
import sys, pathlib
from rain.wire.owned_directory import new_owned_directory
print(new_owned_directory("client", pathlib.Path(sys.argv[1])))
"""


def test_what_a_dead_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    made = subprocess.run([sys.executable, "-c", MAKE, str(tmp_path)], check=True, capture_output=True, text=True)
    left = Path(made.stdout.strip())
    (left / "s1.o1").write_bytes(b"x")
    own = new_owned_directory("local", tmp_path)
    assert sorted(tmp_path.iterdir()) == [own]
    assert own.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["worker-abc", "client-notes", "mine-1-1-x", "client-1-x-y"])
def test_folders_with_other_names_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    own = new_owned_directory("server", tmp_path)
    sweep_owned(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([own, tmp_path / name])
