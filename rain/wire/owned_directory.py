"""Temporary folders with their owner in the name, so that what a killed process left is removed by the next one."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from rain.wire.process_time import process_start_time
from rain.wire.runtime_directory import private_directory

_NAME = re.compile(r"(?:client|local|server)-(\d+)-(\d+)-\w+")


def temporary_base() -> Path:
    """`<tmp>/rain-<uid>`, made if need be, this user's alone. Raises RainException."""
    return private_directory(Path(tempfile.gettempdir()) / f"rain-{os.getuid()}")


def new_owned_directory(role: str, base: Path) -> Path:
    """A fresh folder of this process in `base`, mode 0700; those of dead processes there are removed.

    `role`: "client", "local" or "server". Raises OSError.
    """
    sweep_owned(base)
    return Path(tempfile.mkdtemp(prefix=f"{role}-{os.getpid()}-{_start(os.getpid())}-", dir=base.absolute()))


def sweep_owned(base: Path) -> None:
    """Removes the folders whose owners do not run any more."""
    for path in base.glob("*-*-*-*"):
        named = _NAME.fullmatch(path.name)
        if named is not None and _start(int(named[1])) != int(named[2]):
            shutil.rmtree(path, ignore_errors=True)


def _start(pid: int) -> int | None:
    """When a process started, in hundredths of a second; None when it does not run."""
    started = process_start_time(pid)
    return None if started is None else round(started * 100)
