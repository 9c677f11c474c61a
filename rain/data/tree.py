"""Folders as data: what a tree may consist of, how one is walked, and how its folders are opened.

A directory object is regular files and folders, nothing else: what it is worth is what reading it shows. So a symbolic
link is taken as what it points at, which has to lie in the same tree; owners, times, access rights other than "may be
executed", setuid bits and the fact that two names are one file do not belong to the content.

Nothing here goes through a path that somebody could redirect meanwhile: folders are opened one by one, from the root
downwards, and a link in the place of a folder is an error. Only the root itself may be a link: the caller named it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

from rain.core.errors import RainException
from rain.data.tree_names import DEFAULT_LIMITS, TreeLimits, check_name, check_path

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FOLDER_MODE = 0o755

#: The same as Linux's own limit.
_MAX_LINKS_FOLLOWED = 40


class TreeMember(NamedTuple):
    """A file or folder of a tree."""

    #: Relative to the root, parts joined by "/", none at the end.
    path: str
    is_folder: bool
    #: Whether anybody may execute it; False for folders.
    executable: bool
    #: Bytes; 0 for folders.
    size: int
    mtime_ns: int
    #: Where it really is, relative to the root; differs from `path` where a symbolic link is on the way.
    source: str


class OpenFolders:
    """Descriptors of the folders on the way to the one that was asked for last, which is cheap to ask for again."""

    __slots__ = ("_descriptors", "_folder", "_make", "_parts", "made")

    def __init__(self, root: Path, *, make: bool = False) -> None:
        """With `make`, folders that are missing are made, with mode 0755. Raises OSError where `root` is no folder."""
        self._descriptors = [os.open(root, FOLDER_FLAGS & ~os.O_NOFOLLOW)]
        self._parts: list[str] = []
        self._folder = ""
        self._make = make
        #: How many folders were made.
        self.made = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())

    def open(self, folder: str) -> int:
        """The descriptor of a folder relative to the root ("" is the root), good until the next call.

        Raises OSError, also where one of the parts is a link.
        """
        if folder == self._folder:
            return self._descriptors[-1]
        parts = folder.split("/") if folder else []
        kept = 0
        for known, wanted in zip(self._parts, parts, strict=False):
            if known != wanted:
                break
            kept += 1
        while len(self._parts) > kept:
            os.close(self._descriptors.pop())
            self._parts.pop()
        try:
            for part in parts[kept:]:
                self._descriptors.append(self._enter(part))
                self._parts.append(part)
        finally:
            # A path that fails half-way leaves open what it passed.
            self._folder = "/".join(self._parts)
        return self._descriptors[-1]

    def _enter(self, name: str) -> int:
        above = self._descriptors[-1]
        if not self._make:
            return os.open(name, FOLDER_FLAGS, dir_fd=above)
        try:
            os.mkdir(name, 0o700, dir_fd=above)
        except FileExistsError:
            return os.open(name, FOLDER_FLAGS, dir_fd=above)
        descriptor = os.open(name, FOLDER_FLAGS, dir_fd=above)
        # Whatever the umask is.
        os.fchmod(descriptor, FOLDER_MODE)
        self.made += 1
        return descriptor


def scan(root: Path, limits: TreeLimits = DEFAULT_LIMITS) -> Iterator[TreeMember]:
    """The members of a tree, folders before what is in them, sorted by name.

    Raises RainException where the tree cannot be read, is too large, or has what no directory object may have.
    """
    walk = _Walk(root, limits)
    try:
        descriptor = os.open(root, FOLDER_FLAGS & ~os.O_NOFOLLOW)
        try:
            walk.root_descriptor = descriptor
            yield from walk.folder(descriptor, "", "")
        finally:
            os.close(descriptor)
    except OSError as error:
        # The operating system knows the last name only.
        shown = root / walk.current
        raise RainException(f"The directory {str(shown)!r} cannot be read: {error.strerror}.") from error


class _Walk:
    """One walk over a tree: what was counted, and where it is."""

    def __init__(self, root: Path, limits: TreeLimits) -> None:
        self._root = root
        self._limits = limits
        self._n_members = 0
        self._n_bytes = 0
        #: The folders that the walk is in, as device and inode.
        self._within: list[tuple[int, int]] = []
        self.root_descriptor = -1
        #: What an error is about.
        self.current = ""

    def folder(self, descriptor: int, path: str, source: str) -> Iterator[TreeMember]:
        """The members of an open folder; `path` and `source` are its own, with a slash at the end unless empty."""
        status = os.fstat(descriptor)
        self._within.append((status.st_dev, status.st_ino))
        with os.scandir(descriptor) as entries:
            found = sorted((entry.name, entry.stat(follow_symlinks=False)) for entry in entries)
        for name, status in found:
            if stat.S_ISLNK(status.st_mode):
                yield from self._link(path + name, source + name)
            else:
                yield from self._member(descriptor, name, status, path + name, source + name)
        self._within.pop()

    def _member(self, folder: int, name: str, status: os.stat_result, path: str, source: str) -> Iterator[TreeMember]:
        self.current = path
        is_folder = stat.S_ISDIR(status.st_mode)
        if not is_folder and not stat.S_ISREG(status.st_mode):
            raise self._refusal(path, f"is a {kind_of(status.st_mode)}; a directory holds regular files and folders.")
        # The name that it has here, which is not its own where a link led to it.
        check_name(path.rpartition("/")[2], str(self._root / path))
        check_path(path, path.count("/") + 1, self._limits)
        size = 0 if is_folder else status.st_size
        self._count(size)
        executable = not is_folder and bool(status.st_mode & 0o111)
        yield TreeMember(path, is_folder, executable, size, status.st_mtime_ns, source)
        if not is_folder:
            return
        if (status.st_dev, status.st_ino) in self._within:
            raise self._refusal(path, "is a link to a folder that it lies in, so the directory would never end.")
        descriptor = os.open(name, FOLDER_FLAGS, dir_fd=folder)
        try:
            yield from self.folder(descriptor, f"{path}/", f"{source}/")
        finally:
            os.close(descriptor)

    def _link(self, path: str, source: str) -> Iterator[TreeMember]:
        self.current = path
        real = resolve(self.root_descriptor, self._root, source)
        if not real:
            raise self._refusal(path, "is a link to the directory that it lies in, which would never end.")
        folder, _, name = real.rpartition("/")
        with OpenFolders(self._root) as folders:
            descriptor = folders.open(folder)
            status = os.lstat(name, dir_fd=descriptor)
            yield from self._member(descriptor, name, status, path, real)

    def _count(self, size: int) -> None:
        self._n_members += 1
        self._n_bytes += size
        if self._n_members > self._limits.max_members:
            raise self._refusal("", f"has more than {self._limits.max_members} files and folders, more than allowed.")
        if self._n_bytes > self._limits.max_bytes:
            raise self._refusal("", f"has more than {self._limits.max_bytes} bytes, more than allowed.")

    def _refusal(self, path: str, reason: str) -> RainException:
        return RainException(f"{str(self._root / path)!r} {reason}")


def resolve(root_descriptor: int, root: Path, path: str) -> str:
    """The path without links that a path inside a tree means, relative to the root as well; "" is the root.

    Raises RainException where it leads out of the tree or in circles, or to nothing.
    """
    real: list[str] = []
    pending = path.split("/")[::-1]
    n_links = 0
    while pending:
        part = pending.pop()
        if part in {"", "."}:
            continue
        if part == "..":
            if not real:
                raise _outside(root, path)
            real.pop()
            continue
        here = "/".join([*real, part])
        try:
            target = _link_target(here, root_descriptor)
        except (FileNotFoundError, NotADirectoryError):
            raise RainException(f"{str(root / path)!r} is a link to something that is not there ({here!r}).") from None
        if target is None:
            real.append(part)
            continue
        n_links += 1
        if n_links > _MAX_LINKS_FOLLOWED:
            raise RainException(f"{str(root / path)!r} is a link that leads through too many others, or in circles.")
        if target.startswith("/"):
            above = f"{os.path.realpath(root)}/"
            if not f"{target}/".startswith(above):
                raise _outside(root, path)
            real, target = [], target[len(above) :]
        pending += target.split("/")[::-1]
    return "/".join(real)


def kind_of(mode: int) -> str:
    """What a file is, for an error text."""
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link", stat.S_IFIFO: "named pipe"}
    return kinds.get(stat.S_IFMT(mode), "socket" if stat.S_ISSOCK(mode) else "device")


def _link_target(path: str, root_descriptor: int) -> str | None:
    """None where it is no link."""
    if not stat.S_ISLNK(os.lstat(path, dir_fd=root_descriptor).st_mode):
        return None
    return os.readlink(path, dir_fd=root_descriptor)


def _outside(root: Path, path: str) -> RainException:
    return RainException(
        f"{str(root / path)!r} is a link that leads out of the directory; only links to what lies in it are followed. "
        "Put the file itself there."
    )
