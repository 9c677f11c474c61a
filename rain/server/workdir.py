"""The server's own folder: made for one run, readable by its user alone, removed at its end.

Its name says whose it is (pid and start time), so that what a killed server left is removed by the next one.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from rain.core.errors import RainException
from rain.wire.process_time import process_start_time
from rain.wire.runtime_directory import private_directory

_NAME = re.compile(r"server-(\d+)-(\d+)-\w+")


def make_workdir(parent: str | None) -> Path:
    """A fresh folder, mode 0700, in `parent` or below `<tmp>/rain-<uid>/`. Raises RainException."""
    base = Path(tempfile.gettempdir()) / f"rain-{os.getuid()}" if parent is None else Path(parent).expanduser()
    try:
        if parent is None:
            private_directory(base)
        else:
            base.mkdir(parents=True, exist_ok=True)
        _sweep(base)
        return Path(tempfile.mkdtemp(prefix=f"server-{os.getpid()}-{_start(os.getpid())}-", dir=base.absolute()))
    except OSError as error:
        reason = f"cannot make a work folder in {base}: {error.strerror}. Name another one"
        raise RainException(reason) from error


def remove_workdir(path: Path) -> None:
    """Remove the folder with all that is in it, as far as that is possible."""
    shutil.rmtree(path, ignore_errors=True)


def _sweep(base: Path) -> None:
    for path in base.glob("server-*"):
        named = _NAME.fullmatch(path.name)
        if named is not None and _start(int(named[1])) != int(named[2]):
            remove_workdir(path)


def _start(pid: int) -> int | None:
    """When a process started, in hundredths of a second; None when it does not run."""
    started = process_start_time(pid)
    return None if started is None else round(started * 100)
