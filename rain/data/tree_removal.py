"""Removing a tree for certain: read-only, inaccessible, or deeper than any path can say."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from rain.core.errors import RainException
from rain.data.tree import FOLDER_FLAGS

_LOOK_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(root: Path) -> None:
    """Removes a folder and all in it, or a file or link; nothing if it is gone. Links are never followed.

    Raises RainException where something cannot be removed, such as other users' files.
    """
    try:
        if stat.S_ISDIR(root.lstat().st_mode):
            _empty(root)
            root.rmdir()
        else:
            root.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise RainException(f"{str(root)!r} cannot be removed: {error.strerror} ({error.filename!r}).") from error


def _empty(root: Path) -> None:
    """Folders are moved up into the root before they are emptied, so that no depth costs open files or recursion."""
    top = _opened(str(root), None)
    try:
        # Nothing in the tree has such a name.
        token = secrets.token_hex(16)
        n_moved = 0
        pending = _remove_files(top)
        while pending:
            name = pending.pop()
            folder = _opened(name, top)
            try:
                for inner in _remove_files(folder):
                    # Moving a folder elsewhere needs the right to write to it, to its entry "..".
                    _make_accessible(inner, folder)
                    moved = f"{token}.{n_moved}"
                    n_moved += 1
                    os.rename(inner, moved, src_dir_fd=folder, dst_dir_fd=top)
                    pending.append(moved)
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)


def _remove_files(folder: int) -> list[str]:
    """Removes everything but the folders in an open folder; returns their names."""
    folders = []
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.name)
        else:
            os.unlink(entry.name, dir_fd=folder)
    return folders


def _opened(path: str, above: int | None) -> int:
    _make_accessible(path, above)
    return os.open(path, FOLDER_FLAGS, dir_fd=above)


def _make_accessible(path: str, above: int | None) -> None:
    descriptor = os.open(path, _LOOK_FLAGS, dir_fd=above)
    try:
        if os.fstat(descriptor).st_mode & 0o700 != 0o700:
            # `fchmod` does not work on a descriptor that can be had without the right to read.
            os.chmod(f"/proc/self/fd/{descriptor}", 0o700)  # noqa: PTH101
    finally:
        os.close(descriptor)
