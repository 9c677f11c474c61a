"""Where the files of clusters lie on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from rain.core.errors import RainException


def log_folder() -> Path:
    """`$XDG_STATE_HOME/rain/logs`; not made yet."""
    return Path(platformdirs.user_state_dir("rain")) / "logs"


def log_file(folder: Path, role: str) -> Path:
    """A new name for the log of a program that is about to start. Raises RainException where it cannot be."""
    stem = f"{role}-{os.getpid()}"
    number = 1
    while (folder / f"{stem}-{number}.log").exists():
        number += 1
    path = folder / f"{stem}-{number}.log"
    try:
        # A mode counts for the last folder of a path only.
        for each in (folder.parent, folder):
            if not each.exists():
                each.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise RainException(f"cannot write the log {path}: {error.strerror}. Name another folder: --logdir") from error
    return path
