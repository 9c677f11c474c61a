"""A directory object in the worker's store: a sealed folder, and the tar of it for those who fetch it."""

from __future__ import annotations

import logging
import stat
import threading
from pathlib import Path

from rain.core.errors import RainException
from rain.data.tree_archive import TreeArchive
from rain.data.tree_files import link_tree
from rain.data.tree_removal import remove_tree

_log = logging.getLogger("rain.worker.stored_tree")


def link_stored_tree(source: Path, target: Path, size: int) -> bool:
    """Makes `target` a sealed folder with the files of another worker's; False, and nothing is left, if it cannot be.

    It cannot be where the folder is gone, or its tar has not `size` bytes: somebody has changed it.
    """
    try:
        link_tree(source, target, write=False)
        found = TreeArchive(target).size
        if found == size:
            return True
        _log.warning("a directory object of %d bytes has become one of %d: it is not linked", size, found)
        remove_tree(target)
    except RainException as error:
        _log.info("a directory object cannot be linked: %s", error)
    return False


class StoredTree:
    """One folder, which may be several objects: a task passed its input on.

    What costs a look at every file is done where the bytes are asked for, in the threads of the data endpoint.
    """

    __slots__ = ("_archive", "_lock", "_size", "is_spoilt", "n_names", "path", "state")

    def __init__(self, path: Path, size: int, state: tuple[int, int]) -> None:
        """`size`: bytes of the tar, as who made the folder found it. `state`: inode and time of the folder itself."""
        self.path = path
        self.state = state
        #: Objects that are this folder.
        self.n_names = 1
        #: Somebody changed it: nobody may read it any more.
        self.is_spoilt = False
        self._size = size
        self._archive: TreeArchive | None = None
        self._lock = threading.Lock()

    def read(self, offset: int, length: int) -> bytes | None:
        """These bytes of the tar, None where the folder is not what it was. Any thread may ask."""
        try:
            return self._opened().read(offset, length)
        except RainException as error:
            # The next look at the store finds it lost, here and for the server.
            self.is_spoilt = True
            _log.warning("a directory object cannot be read: %s", error)
            return None

    def is_intact(self) -> bool:
        """A look at the folder itself; tasks that may have changed what is in it look closer when they end."""
        if self.is_spoilt:
            return False
        try:
            status = self.path.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(status.st_mode) and (status.st_ino, status.st_mtime_ns) == self.state

    def _opened(self) -> TreeArchive:
        with self._lock:
            if self._archive is None:
                archive = TreeArchive(self.path)
                if archive.size != self._size:
                    raise RainException(f"{str(self.path)!r} has become {archive.size} bytes from {self._size}.")
                self._archive = archive
            return self._archive
