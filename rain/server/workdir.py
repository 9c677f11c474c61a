"""The server's own folder: made for one run, readable by its user alone, removed at its end."""

from __future__ import annotations

import shutil
from pathlib import Path

from rain.core.errors import RainException
from rain.wire.owned_directory import new_owned_directory, sweep_owned, temporary_base


def make_workdir(parent: str | None) -> Path:
    """A fresh folder, mode 0700, in `parent` or below `<tmp>/rain-<uid>/`. Raises RainException."""
    try:
        base = temporary_base() if parent is None else Path(parent).expanduser()
        base.mkdir(parents=True, exist_ok=True)
        return new_owned_directory("server", base)
    except OSError as error:
        reason = f"cannot make a work folder in {error.filename or parent}: {error.strerror}. Name another one"
        raise RainException(reason) from error


def remove_workdir(path: Path) -> None:
    """Remove the folder with all that is in it, as far as that is possible.

    So are the folders of a client that was killed: an embedded server ends because of that, and after it.
    """
    shutil.rmtree(path, ignore_errors=True)
    sweep_owned(path.parent)
    sweep_owned(temporary_base())
