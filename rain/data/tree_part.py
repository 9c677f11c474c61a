"""Taking a file or folder out of a directory object by its path."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rain.core.errors import RainException
from rain.data.tree import FOLDER_FLAGS, kind_of, resolve
from rain.data.tree_names import checked_parts

#: Names that an error lists.
_MAX_LISTED = 10


def pick(root: Path, relative: str) -> Path:
    """Where the file, or with a slash at the end the folder, of this path in the directory `root` is; "./" is the root.

    The path that is returned has no links below the root. Raises RainException where it leads out of the directory,
    is not there, or is a folder where a file is asked for or the other way round.
    """
    parts = checked_parts(relative)
    wants_folder = relative.endswith("/")
    if not parts and not wants_folder:
        raise RainException(f"{relative!r} names nothing in the directory: a path of a file, or './' for all of it.")
    try:
        descriptor = os.open(root, FOLDER_FLAGS & ~os.O_NOFOLLOW)
    except OSError as error:
        raise RainException(f"The directory {str(root)!r} cannot be read: {error.strerror}.") from error
    try:
        real = _found(descriptor, root, parts, relative)
        status = os.lstat(real or ".", dir_fd=descriptor)
    except OSError as error:
        raise RainException(f"{relative!r} in the directory cannot be read: {error.strerror}.") from error
    finally:
        os.close(descriptor)
    is_folder = stat.S_ISDIR(status.st_mode)
    if is_folder and not wants_folder:
        raise RainException(f"{relative!r} is a folder in the directory; to take a folder write {relative + '/'!r}.")
    if wants_folder and not is_folder:
        raise RainException(
            f"{relative.rstrip('/')!r} is a {kind_of(status.st_mode)} in the directory, not a folder; "
            "a slash at the end asks for a folder."
        )
    if not is_folder and not stat.S_ISREG(status.st_mode):
        raise RainException(f"{relative!r} is a {kind_of(status.st_mode)} in the directory; a file is needed.")
    return root / real


def _found(descriptor: int, root: Path, parts: list[str], relative: str) -> str:
    real = ""
    for part in parts:
        path = f"{real}/{part}" if real else part
        try:
            os.lstat(path, dir_fd=descriptor)
        except (FileNotFoundError, NotADirectoryError):
            raise RainException(f"The directory has no {relative!r}: {_listing(root / real, real)}.") from None
        real = resolve(descriptor, root, path)
    return real


def _listing(folder: Path, name: str) -> str:
    shown = f"its folder {name!r}" if name else "it"
    if not folder.is_dir():
        return f"{name!r} is a file"
    with os.scandir(folder) as entries:
        names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries)
    if not names:
        return f"{shown} is empty"
    more = f", … ({len(names)} in all)" if len(names) > _MAX_LISTED else ""
    return f"{shown} has {', '.join(map(repr, names[:_MAX_LISTED]))}{more}"
