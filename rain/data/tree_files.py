"""What is done with whole trees on one machine: linking or copying them, sealing and watching them.

A sealed tree is what lies in a store: files 0444 (0555 where they can be executed), no links. Its folders stay 0755, so
that it can be moved and removed like any other; whoever works with it gets folders of his own with links to the files.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from pathlib import Path

from rain.core.errors import RainException
from rain.data.aging import date_back
from rain.data.copying import copy_file
from rain.data.tree import FOLDER_MODE, OpenFolders, TreeMember, scan
from rain.data.tree_names import DEFAULT_LIMITS, TreeLimits
from rain.data.tree_removal import remove_tree

_NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SOURCE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_LOOK_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

#: Another file system, too many links to one file, a file of another user, a file system without links.
_CANNOT_LINK = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS}

_SEALED_MODES = {0o444, 0o555}


def file_mode(executable: bool, read_only: bool) -> int:
    """The access rights of a file in a tree, sealed or not."""
    if read_only:
        return 0o555 if executable else 0o444
    return 0o755 if executable else 0o644


def link_tree(source: Path, target: Path, *, write: bool, limits: TreeLimits = DEFAULT_LIMITS) -> None:
    """Makes the folder `target`, which must not exist yet, with the files of `source`: all of it, or nothing is left.

    The files are hard links, not to be written to, or read-only copies where links cannot be made; with `write`, they
    are copies of the caller's own, by reference where the file system can. Raises RainException.
    """
    current = ""
    try:
        target.mkdir(mode=0o700)
        try:
            with OpenFolders(source) as given, OpenFolders(target, make=True) as made:
                for member in scan(source, limits):
                    current = member.path
                    if member.is_folder:
                        made.open(member.path)
                    else:
                        _place(given, made, member, write)
            target.chmod(FOLDER_MODE)
        except BaseException:
            remove_tree(target)
            raise
    except FileExistsError:
        raise RainException(f"{str(target)!r} exists; a directory is put to a path where nothing is yet.") from None
    except OSError as error:
        raise RainException(
            f"The directory {str(source)!r} cannot be put to {str(target / current)!r}: {error.strerror}."
        ) from error


def _place(given: OpenFolders, made: OpenFolders, member: TreeMember, write: bool) -> None:
    source_folder, _, source_name = member.source.rpartition("/")
    folder, _, name = member.path.rpartition("/")
    source, target = given.open(source_folder), made.open(folder)
    if not write:
        try:
            os.link(source_name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
            return
        except OSError as error:
            if error.errno not in _CANNOT_LINK:
                raise
    _copy(source, source_name, target, name, file_mode(member.executable, not write))


def _copy(source_folder: int, source_name: str, folder: int, name: str, mode: int) -> None:
    source = os.open(source_name, _SOURCE_FLAGS, dir_fd=source_folder)
    try:
        target = os.open(name, _NEW_FILE_FLAGS, 0o600, dir_fd=folder)
        try:
            copy_file(source, target)
            os.fchmod(target, mode)
            if mode in _SEALED_MODES:
                date_back(target)
        finally:
            os.close(target)
    finally:
        os.close(source)


# ------------------------------------------------------------------------------------------ sealing


def seal_tree(root: Path, limits: TreeLimits = DEFAULT_LIMITS) -> None:
    """Turns a tree that a program made into one for the store: checked, read-only, links replaced by the files.

    A file that also has a name elsewhere, and could be changed there, is replaced by a copy. Nobody may work in the
    tree any more. Raises RainException where something in it cannot be part of a directory object; folders and some
    files may be sealed by then.
    """
    current = ""
    try:
        if not stat.S_ISDIR(root.lstat().st_mode):
            raise RainException(f"{str(root)!r} is no folder, so it cannot become a directory object.")
        _open_up(root)
        members = list(scan(root, limits))
        with OpenFolders(root, make=True) as folders, OpenFolders(root) as sources:
            names = _count_names(members, sources)
            for member in members:
                current = member.path
                if member.source == member.path and not member.is_folder:
                    folder, _, name = member.path.rpartition("/")
                    _seal_file(folders.open(folder), name, member.executable, names)
            for member in members:
                current = member.path
                if member.source != member.path:
                    _replace_link(folders, sources, member)
    except OSError as error:
        raise RainException(f"{str(root / current)!r} cannot be sealed: {error.strerror}.") from error


def _open_up(root: Path) -> None:
    """Gives all folders their mode, also those that a program made inaccessible for itself."""
    pending = [root]
    while pending:
        folder = pending.pop()
        descriptor = os.open(folder, _LOOK_FLAGS | os.O_DIRECTORY)
        try:
            if stat.S_IMODE(os.fstat(descriptor).st_mode) != FOLDER_MODE:
                # `fchmod` does not work on a descriptor that can be had without the right to read.
                os.chmod(f"/proc/self/fd/{descriptor}", FOLDER_MODE)  # noqa: PTH101
        finally:
            os.close(descriptor)
        with os.scandir(folder) as entries:
            pending += [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]


def _count_names(members: list[TreeMember], folders: OpenFolders) -> dict[tuple[int, int], int]:
    """By device and inode: how many names a file has in the tree."""
    names: dict[tuple[int, int], int] = {}
    for member in members:
        if member.source == member.path and not member.is_folder:
            folder, _, name = member.path.rpartition("/")
            status = os.lstat(name, dir_fd=folders.open(folder))
            names[status.st_dev, status.st_ino] = names.get((status.st_dev, status.st_ino), 0) + 1
    return names


def _seal_file(folder: int, name: str, executable: bool, names: dict[tuple[int, int], int]) -> None:
    mode = file_mode(executable, read_only=True)
    descriptor = os.open(name, _LOOK_FLAGS, dir_fd=folder)
    try:
        status = os.fstat(descriptor)
        if stat.S_IMODE(status.st_mode) == mode:
            return  # such as an input from the store that was linked into the output
        if status.st_nlink == names[status.st_dev, status.st_ino]:
            os.chmod(f"/proc/self/fd/{descriptor}", mode)  # noqa: PTH101
            date_back(f"/proc/self/fd/{descriptor}")
            return
    finally:
        os.close(descriptor)
    # Somebody's file that a program linked here: its mode is none of our business, and its owner may write to it.
    temporary = f".{secrets.token_hex(8)}"
    _copy(folder, name, folder, temporary, mode)
    os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def _replace_link(folders: OpenFolders, sources: OpenFolders, member: TreeMember) -> None:
    folder, _, name = member.path.rpartition("/")
    descriptor = folders.open(folder)
    try:
        # Below a link to a folder, which is a folder by now, nothing is there yet.
        os.unlink(name, dir_fd=descriptor)
    except FileNotFoundError:
        pass
    if member.is_folder:
        folders.open(member.path)
    else:
        _place(sources, folders, member, write=False)


def protect_tree(root: Path) -> None:
    """Gives the files of a sealed tree their mode back where somebody changed it, which he may through another link.

    Raises RainException where the tree cannot be read.
    """
    current = ""
    try:
        with OpenFolders(root) as folders:
            for member in scan(root):
                current = member.path
                if member.is_folder or member.source != member.path:
                    continue
                folder, _, name = member.path.rpartition("/")
                descriptor = folders.open(folder)
                mode = stat.S_IMODE(os.lstat(name, dir_fd=descriptor).st_mode)
                if mode not in _SEALED_MODES:
                    os.chmod(name, file_mode(member.executable, read_only=True), dir_fd=descriptor)
    except OSError as error:
        raise RainException(f"{str(root / current)!r} cannot be protected: {error.strerror}.") from error


def tree_fingerprint(root: Path) -> str:
    """A text that differs after a file was added, removed, replaced or written to; it costs one `stat` per file.

    Raises RainException where the tree cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    pending = [""]
    current = ""
    try:
        with OpenFolders(root) as folders:
            while pending:
                current = pending.pop()
                with os.scandir(folders.open(current)) as entries:
                    found = sorted((entry.name, entry.stat(follow_symlinks=False)) for entry in entries)
                for name, status in found:
                    path = f"{current}/{name}" if current else name
                    facts: tuple[object, ...] = (path, stat.S_IFMT(status.st_mode), status.st_ino)
                    if stat.S_ISDIR(status.st_mode):
                        pending.append(path)
                    else:
                        # Not ctime: it also changes when a name of the file is made or removed elsewhere.
                        facts += (status.st_size, status.st_mtime_ns, bool(status.st_mode & 0o111))
                    digest.update(repr(facts).encode())
    except OSError as error:
        raise RainException(f"The directory {str(root / current)!r} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()
