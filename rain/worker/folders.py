"""The folders of a worker: made private, marked with their owner, removed at the end, swept when the owner died."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from rain.core.errors import RainException
from rain.data.tree_removal import remove_tree
from rain.wire.process_time import process_start_time
from rain.wire.runtime_directory import private_directory

_log = logging.getLogger("rain.worker.folders")

PREFIX = "worker-"
OWNER_FILE = "owner"
#: A folder without an owner is being made, unless it is older than this.
UNOWNED_LIMIT_S = 60.0


class Owner(msgspec.Struct, frozen=True):
    """The process to which a folder belongs; pids are used again, so its start counts, too."""

    pid: int
    start_time: float


@dataclass(frozen=True, slots=True)
class WorkerFolders:
    """Where a worker keeps its files; `root` contains the others."""

    root: Path
    #: Objects, one file each.
    store: Path
    #: Working folders of tasks.
    tasks: Path
    #: Standard error of executors, one file each.
    stderr: Path

    def remove(self) -> None:
        """Removes everything."""
        remove_folder(self.root)


def make_folders(workdir: str | None) -> WorkerFolders:
    """Fresh folders below `workdir`, or below `<tmp>/rain-<uid>`; those of dead workers are removed first.

    Raises RainException when they cannot be made.
    """
    try:
        if workdir is None:
            base = private_directory(Path(tempfile.gettempdir()) / f"rain-{os.getuid()}")
        else:
            base = Path(workdir).expanduser().absolute()
            base.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(base)
        root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        owner = Owner(os.getpid(), process_start_time(os.getpid()) or 0.0)
        (root / OWNER_FILE).write_bytes(msgspec.json.encode(owner))
        folders = WorkerFolders(root, root / "store", root / "tasks", root / "stderr")
        for folder in (folders.store, folders.tasks, folders.stderr):
            folder.mkdir(mode=0o700)
    except OSError as error:
        raise RainException(
            f"the worker cannot make its folder: {error.strerror} ({error.filename}). Name another place: "
            "--workdir FOLDER"
        ) from error
    return folders


def sweep(base: Path) -> None:
    """Removes the folders of workers that died without doing so."""
    for root in base.glob(f"{PREFIX}*"):
        if root.is_dir() and not root.is_symlink() and not _is_owned(root):
            _log.info("removing the folder of a dead worker: %s", root)
            remove_folder(root)


def remove_folder(root: Path) -> None:
    """Removes a folder with all that tasks left in it, write-protected folders included; what resists is logged."""
    try:
        remove_tree(root)
    except RainException as error:
        _log.warning("a worker's folder cannot be removed completely: %s", error)


def _is_owned(root: Path) -> bool:
    try:
        owner = msgspec.json.decode((root / OWNER_FILE).read_bytes(), type=Owner)
        return process_start_time(owner.pid) == owner.start_time
    except (OSError, msgspec.MsgspecError):
        return _age_s(root) < UNOWNED_LIMIT_S


def _age_s(root: Path) -> float:
    try:
        return time.time() - root.stat().st_mtime
    except OSError:
        return 0.0
