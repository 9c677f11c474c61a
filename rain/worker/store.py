"""The objects that a worker holds: small ones as bytes in memory, large ones as files that nobody writes to any more.

A file `s1.o17` lies in the store's folder before the store hears of it: an executor or the fetcher put it there whole.
A large directory is a folder of that name, sealed (see `rain.data.tree_files`); a small one is the bytes of its tar.
The machine decides what stays; the store does what it is told and knows no reasons.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rain.core.content import DIRECTORY
from rain.core.errors import RainException
from rain.core.ids import object_name, session_name
from rain.data.tree_removal import remove_tree
from rain.wire.holder import Stored
from rain.wire.incoming import OBJECT_MODE, PART_PREFIX, PartFile
from rain.worker.stored_tree import StoredTree

_log = logging.getLogger("rain.worker.store")


class ObjectStore:
    """Objects by session and number; `folder` belongs to the store and to those who put files for it there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sessions: dict[int, dict[int, Stored]] = {}
        #: When each file was written, by session and object; files that are known to be lost are not here.
        self._mtimes: dict[tuple[int, int], int] = {}
        #: Folders can be large, and the loop does not wait until they are gone.
        self._remover: ThreadPoolExecutor | None = None
        self._n_removed = 0

    def close(self) -> None:
        """Returns when no thread works in the folder any more; whoever owns that removes what is left."""
        if self._remover is not None:
            self._remover.shutdown(wait=True)
            self._remover = None

    def get(self, session: int, obj: int) -> Stored | None:
        """The object, None when it is not here."""
        objects = self._sessions.get(session)
        return None if objects is None else objects.get(obj)

    def path(self, session: int, obj: int) -> Path:
        """Where the file of this object is, or would be."""
        return self._folder / object_name(session, obj)

    def put_bytes(self, session: int, obj: int, data: bytes, content_type: str | None = None) -> None:
        """Takes a small object; one that is here already is replaced."""
        self._put(session, obj, Stored(len(data), content_type, data))

    def adopt_file(self, session: int, obj: int, content_type: str | None = None) -> int | None:
        """Takes the file at the object's path; its size in bytes, None when no such file is there."""
        path = self.path(session, obj)
        try:
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                return None
            if stat.S_IMODE(status.st_mode) != OBJECT_MODE:
                path.chmod(OBJECT_MODE)
        except OSError:
            return None
        self._put(session, obj, Stored(status.st_size, content_type, path), status.st_mtime_ns)
        return status.st_size

    def adopt_tree(self, session: int, obj: int, size: int, *, source: Path | None = None) -> int | None:
        """Takes the sealed folder at the object's path, or `source`, which is moved there; `size`: bytes of its tar.

        The size again, None when no such folder is there.
        """
        path = self.path(session, obj)
        try:
            if source is not None:
                # An object of that name that is stored already is replaced.
                self._remove(path)
                source.rename(path)
            status = path.lstat()
            if not stat.S_ISDIR(status.st_mode):
                return None
        except OSError as error:
            _log.warning("a directory object cannot be stored: %s", error)
            return None
        tree = StoredTree(path, size, (status.st_ino, status.st_mtime_ns))
        self._put(session, obj, Stored(size, DIRECTORY, tree))
        return size

    def remove_part(self, path: Path) -> None:
        """Removes a folder that did not become an object, later."""
        self._remove(path)

    def alias(self, session: int, obj: int, same_as: int, content_type: str | None = None) -> int | None:
        """Makes `obj` another name of the object `same_as`, without a copy; its size, None when that is not here.

        Without a content type it keeps that of the other. Raises OSError when the link cannot be made.
        """
        original = self.get(session, same_as)
        if original is None:
            return None
        data = original.data
        if isinstance(data, Path):
            path = self.path(session, obj)
            path.unlink(missing_ok=True)
            os.link(data, path)
            data = path
        elif isinstance(data, StoredTree):
            data.n_names += 1
        mtime_ns = self._mtimes.get((session, same_as))
        self._put(session, obj, Stored(original.size, content_type or original.content_type, data), mtime_ns)
        return original.size

    def spill(self, session: int, obj: int) -> Path | None:
        """The file of an object, which is written now if it was only in memory; None when the object is not here.

        Raises OSError when it cannot be written.
        """
        stored = self.get(session, obj)
        if stored is None:
            return None
        if isinstance(stored.data, Path | StoredTree):
            return stored.data if isinstance(stored.data, Path) else stored.data.path
        assert isinstance(stored.data, bytes), "an object is bytes, a file or a folder"
        path = self.path(session, obj)
        part = PartFile(path, stored.size)
        try:
            part.write(stored.data, 0)
            part.publish()
        finally:
            part.close()
        self._put(session, obj, Stored(stored.size, stored.content_type, path), path.lstat().st_mtime_ns)
        return path

    def damaged(self, session: int, objects: Iterable[int]) -> list[int]:
        """Those whose files are gone or were written to after they were stored; their bytes cannot be read any more.

        Where there is one, all of the session are looked at: files with several names share their bytes. Each is named
        once; it stays an object without bytes until it is discarded or stored anew.
        """
        if all(self._is_intact(session, obj) for obj in objects):
            return []
        found = [obj for obj in self._sessions[session] if not self._is_intact(session, obj)]
        for obj in found:
            self._mtimes.pop((session, obj), None)
            lost = self._sessions[session][obj]
            if isinstance(lost.data, StoredTree):
                self._release(lost.data)
                self._sessions[session][obj] = Stored(lost.size, lost.content_type, self.path(session, obj))
            else:
                _unlink(self.path(session, obj))
        return found

    def discard(self, session: int, objects: Iterable[int]) -> None:
        """Removes objects; those that are not here are fine, and so are files that never became objects."""
        held = self._sessions.get(session, {})
        for obj in objects:
            stored = held.pop(obj, None)
            if stored is None:
                self._remove(self.path(session, obj))
            elif isinstance(stored.data, Path):
                self._mtimes.pop((session, obj), None)
                _unlink(stored.data)
            elif isinstance(stored.data, StoredTree):
                self._release(stored.data)

    def close_session(self, session: int) -> None:
        """Removes everything of a session, also files of it that the store never heard of."""
        for obj in self._sessions.pop(session, ()):
            self._mtimes.pop((session, obj), None)
        prefix = f"{session_name(session)}.o"
        with os.scandir(self._folder) as entries:
            left = [Path(entry.path) for entry in entries if entry.name.startswith(prefix)]
        for path in left:
            self._remove(path)

    def _put(self, session: int, obj: int, stored: Stored, mtime_ns: int | None = None) -> None:
        objects = self._sessions.setdefault(session, {})
        old = objects.get(obj)
        if old is not None and isinstance(old.data, Path) and old.data != stored.data:
            _unlink(old.data)
        elif old is not None and isinstance(old.data, StoredTree) and old.data is not stored.data:
            # One that was made again lies where this one was.
            self._release(old.data, remove=not _lies_at(stored, old.data.path))
        objects[obj] = stored
        if mtime_ns is not None:
            self._mtimes[session, obj] = mtime_ns
        elif old is not None:
            self._mtimes.pop((session, obj), None)

    def _release(self, tree: StoredTree, *, remove: bool = True) -> None:
        """One object less is this folder."""
        tree.n_names -= 1
        if not tree.n_names and remove:
            self._remove(tree.path)

    def _remove(self, path: Path) -> None:
        """Removes a file now, and a folder from its place now and altogether later."""
        try:
            path.unlink(missing_ok=True)
        except IsADirectoryError:
            self._n_removed += 1
            # No name of an object, and none that a part has.
            gone = self._folder / f"{PART_PREFIX}removed-{self._n_removed}"
            try:
                path.rename(gone)
            except OSError as error:
                _log.warning("an object's folder cannot be removed: %s", error)
                return
            if self._remover is None:
                self._remover = ThreadPoolExecutor(1, "rain-remover")
            self._remover.submit(_remove_folder, gone)
        except OSError as error:
            _log.warning("an object's file cannot be removed: %s", error)

    def _is_intact(self, session: int, obj: int) -> bool:
        stored = self._sessions[session].get(obj) if session in self._sessions else None
        if stored is not None and isinstance(stored.data, StoredTree):
            return _is_intact_tree(stored.data)
        mtime_ns = self._mtimes.get((session, obj))
        if mtime_ns is None:
            return True
        try:
            status = self.path(session, obj).lstat()
        except OSError:
            return False
        size = self._sessions[session][obj].size
        return stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns) == (size, mtime_ns)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("an object's file cannot be removed: %s", error)


def _remove_folder(path: Path) -> None:
    try:
        remove_tree(path)
    except RainException as error:
        _log.warning("an object's folder cannot be removed: %s", error)


def _is_intact_tree(tree: StoredTree) -> bool:
    """A look at the folder itself; tasks that may have changed what is in it look closer when they end."""
    if tree.is_spoilt:
        return False
    try:
        status = tree.path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and (status.st_ino, status.st_mtime_ns) == tree.state


def _lies_at(stored: Stored, path: Path) -> bool:
    return isinstance(stored.data, StoredTree) and stored.data.path == path
