"""Folders that only this user can read or change, checked before every use."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rain.core.errors import RainException


def runtime_directory(environ: Mapping[str, str] | None = None) -> Path:
    """Where the access files of this user's servers are, made if need be: `$XDG_RUNTIME_DIR/rain`, else in the
    temporary folder.

    Raises RainException if somebody else could read or change what is in it.
    """
    return private_directory(_candidates(os.environ if environ is None else environ)[0])


def runtime_directories(environ: Mapping[str, str] | None = None) -> list[Path]:
    """Every such folder that exists: a server and its clients may have been started with different environments."""
    candidates = _candidates(os.environ if environ is None else environ)
    return [check_private(path) for path in dict.fromkeys(candidates) if path.exists()]


def private_directory(path: Path) -> Path:
    """Makes the folder with mode 0700 unless it is there, and checks it. Raises RainException."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return check_private(path)
    except OSError as error:
        raise RainException(
            f"Cannot make the folder {path}: {error.strerror}. Set XDG_RUNTIME_DIR to another."
        ) from None
    # The umask may have taken away more than it should.
    path.chmod(0o700)
    return check_private(path)


def check_private(path: Path) -> Path:
    """The folder itself, if it belongs to this user alone. Raises RainException."""
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise RainException(
            f"{path} must be a folder, but is {_kind(status.st_mode)}. Somebody may have put it there; remove it."
        )
    if status.st_uid != os.getuid():
        raise RainException(
            f"{path} belongs to user {status.st_uid}, not to you ({os.getuid()}). Rain keeps keys there. "
            "Remove it, or set XDG_RUNTIME_DIR and TMPDIR to folders of your own."
        )
    if status.st_mode & 0o077:
        raise RainException(
            f"{path} can be used by others (mode {stat.S_IMODE(status.st_mode):04o}, expected 0700). "
            f"Rain keeps keys there. Look at what is in it, then: chmod 700 {path}"
        )
    return path


def _candidates(environ: Mapping[str, str]) -> list[Path]:
    fallback = Path(environ.get("TMPDIR") or tempfile.gettempdir()) / f"rain-{os.getuid()}"
    given = environ.get("XDG_RUNTIME_DIR", "")
    # A folder left in the environment by `su` belongs to somebody else, and one that is not there was never made.
    if given and Path(given).is_dir() and Path(given).stat().st_uid == os.getuid():
        return [Path(given) / "rain", fallback]
    return [fallback]


def _kind(mode: int) -> str:
    return "a symbolic link" if stat.S_ISLNK(mode) else "something else"
