"""The built-in task that writes an object to a path on the worker's machine, complete or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from rain.core.errors import RainException
from rain.core.kinds import PathArgs
from rain.data.copying import copy_file, write_all
from rain.data.tree_archive import TreeArchive
from rain.data.tree_removal import remove_tree
from rain.executor.attempt_failed import AttemptFailed
from rain.executor.builtins import BuiltinRunner, decoded_args
from rain.executor.trees import is_directory, place_tree, stored_folder
from rain.protocol.executor import Produced, RunInput, RunTask

_PIECE_BYTES = 1 << 20

#: The file system has no files without a name.
_NO_UNNAMED = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}


class StoreRunner(BuiltinRunner):
    """The input becomes a file or folder on this machine, complete or not at all."""

    def run(self, task: RunTask) -> tuple[Produced, ...]:
        """No outputs."""
        path = decoded_args(task.args, PathArgs).path
        if "://" in path:
            raise AttemptFailed(f"cannot write {path!r}: only files of the worker's machine can be written, not URLs.")
        given = task.inputs[0]
        if given.path is not None:
            os.stat(given.path)  # an input that is gone has nothing to do with the target
        try:
            # What a link at the path leads to is replaced, not the link.
            target = Path(os.path.realpath(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name[:60]}.{os.getpid()}.part")
            if is_directory(given):
                _store_tree(given, target, temporary)
            else:
                _store_file(given, target, temporary)
        except (OSError, RainException) as error:
            reason = f"{error.strerror}." if isinstance(error, OSError) else str(error)
            raise AttemptFailed(f"cannot write {path!r} on the worker: {reason}") from None
        return ()


def _store_file(given: RunInput, target: Path, temporary: Path) -> None:
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        pass
    else:
        if stat.S_ISDIR(mode):
            raise RainException("it is a folder; name a file in it.")
        if not stat.S_ISREG(mode):
            # Renaming over it would take it away from everybody else.
            raise RainException("it is a device, pipe or socket; only a regular file is written over.")
    try:
        _write(given, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _write(given: RunInput, path: Path) -> None:
    """Makes the file at `path`, which is there when it is whole, so that a task that is killed leaves nothing."""
    try:
        file = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno not in _NO_UNNAMED:
            raise
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        is_unnamed = False
    else:
        is_unnamed = True
    try:
        if given.data is not None:
            write_all(file, given.data)
        else:
            with open(given.path or "", "rb", buffering=0) as source:
                copy_file(source.fileno(), file)
        if is_unnamed:
            path.unlink(missing_ok=True)
            # Python follows the link only when it is told a folder to begin from.
            os.link(f"/proc/self/fd/{file}", path, src_dir_fd=file, follow_symlinks=True)
    finally:
        os.close(file)


def _store_tree(given: RunInput, target: Path, temporary: Path) -> None:
    """Where the same files are already, an earlier attempt put them there, whose report was lost."""
    folder = stored_folder(given)
    if folder is not None and _is_taken(target):
        _check_same(folder, target)
        return
    remove_tree(temporary)
    try:
        place_tree(given, temporary, write=True)
        if _is_taken(target):
            _check_same(temporary, target)
        else:
            temporary.rename(target)
    finally:
        remove_tree(temporary)


def _is_taken(target: Path) -> bool:
    """Whether there is something at a path but an empty folder, which a rename replaces."""
    if not target.is_dir():
        return os.path.lexists(target)
    with os.scandir(target) as entries:
        return next(entries, None) is not None


def _check_same(folder: Path, target: Path) -> None:
    """Raises RainException unless the files at the target are those of the folder."""
    try:
        wanted, found = TreeArchive(folder), TreeArchive(target)
        if wanted.members == found.members and all(
            wanted.read(offset, _PIECE_BYTES) == found.read(offset, _PIECE_BYTES)
            for offset in range(0, wanted.size, _PIECE_BYTES)
        ):
            return
    except RainException:
        pass  # what could never be a directory object is none of ours
    raise RainException(
        "it exists with other files in it, and a folder is never written over; name one that is not there yet."
    )
