"""The folders of a worker: private, swept when the owner is dead, removed whatever tasks left in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from rain.core.errors import RainException
from rain.wire.process_time import process_start_time
from rain.worker.folders import OWNER_FILE, Owner, make_folders, remove_folder, sweep


def owned_by(root: Path, pid: int, start_time: float) -> Path:
    root.mkdir()
    (root / OWNER_FILE).write_bytes(msgspec.json.encode(Owner(pid, start_time)))
    (root / "store").mkdir()
    (root / "store" / "s1.o1").write_bytes(b"x")
    return root


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_folders_are_private_and_removed_completely(tmp_path: Path) -> None:
    folders = make_folders(str(tmp_path / "work"))
    for folder in (folders.root, folders.store, folders.tasks, folders.stderr):
        assert folder.stat().st_mode & 0o777 == 0o700
    (folders.store / "s1.o1").write_bytes(b"x")
    folders.remove()
    assert list((tmp_path / "work").iterdir()) == []
    folders.remove()


def test_without_a_workdir_they_are_below_the_users_temporary_folder() -> None:
    folders = make_folders(None)
    assert folders.root.parent.name == f"rain-{os.getuid()}"
    assert folders.root.parent.stat().st_mode & 0o777 == 0o700
    folders.remove()


def test_folders_of_dead_workers_are_swept_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    own_start = process_start_time(os.getpid())
    assert own_start is not None
    alive = owned_by(tmp_path / "worker-a", os.getpid(), own_start)
    dead = owned_by(tmp_path / "worker-b", dead_pid(), 1.0)
    reused = owned_by(tmp_path / "worker-c", os.getpid(), own_start - 100)
    being_made = tmp_path / "worker-d"
    being_made.mkdir()
    abandoned = tmp_path / "worker-e"
    abandoned.mkdir()
    os.utime(abandoned, (1, 1))
    other = owned_by(tmp_path / "server-f", dead_pid(), 1.0)
    sweep(tmp_path)
    kept = {path for path in (alive, dead, reused, being_made, abandoned, other) if path.exists()}
    assert kept == {alive, being_made, other}


def test_write_protected_folders_are_removed_and_links_out_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    root = tmp_path / "root"
    (root / "locked").mkdir(parents=True)
    (root / "locked" / "file").write_text("x")
    (root / "locked").chmod(0o500)
    (root / "link").symlink_to(outside)
    remove_folder(root)
    assert not root.exists()
    assert outside.stat().st_mode & 0o777 == 0o500


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RainException, match="--workdir"):
        make_folders(str(tmp_path / "file" / "below"))
