"""The objects that a worker holds: small ones as bytes in memory, large ones as files that nobody writes to any more.

A file `s1.o17` lies in the store's folder before the store hears of it: an executor or the fetcher put it there whole.
The machine decides what stays; the store does what it is told and knows no reasons.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from rain.core.ids import object_name, session_name
from rain.wire.holder import Stored
from rain.wire.incoming import OBJECT_MODE, PartFile

_log = logging.getLogger("rain.worker.store")


class ObjectStore:
    """Objects by session and number; `folder` belongs to the store and to those who put files for it there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sessions: dict[int, dict[int, Stored]] = {}
        #: When each file was written, by session and object; files that are known to be lost are not here.
        self._mtimes: dict[tuple[int, int], int] = {}

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
        if isinstance(stored.data, Path):
            return stored.data
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
            del self._mtimes[session, obj]
            _unlink(self.path(session, obj))
        return found

    def discard(self, session: int, objects: Iterable[int]) -> None:
        """Removes objects; those that are not here are fine, and so are files that never became objects."""
        held = self._sessions.get(session, {})
        for obj in objects:
            stored = held.pop(obj, None)
            if stored is None:
                _unlink(self.path(session, obj))
            elif isinstance(stored.data, Path):
                self._mtimes.pop((session, obj), None)
                _unlink(stored.data)

    def close_session(self, session: int) -> None:
        """Removes everything of a session, also files of it that the store never heard of."""
        for obj in self._sessions.pop(session, ()):
            self._mtimes.pop((session, obj), None)
        prefix = f"{session_name(session)}.o"
        with os.scandir(self._folder) as entries:
            left = [Path(entry.path) for entry in entries if entry.name.startswith(prefix)]
        for path in left:
            _unlink(path)

    def _put(self, session: int, obj: int, stored: Stored, mtime_ns: int | None = None) -> None:
        objects = self._sessions.setdefault(session, {})
        old = objects.get(obj)
        if old is not None and isinstance(old.data, Path) and old.data != stored.data:
            _unlink(old.data)
        objects[obj] = stored
        if mtime_ns is not None:
            self._mtimes[session, obj] = mtime_ns
        elif old is not None:
            self._mtimes.pop((session, obj), None)

    def _is_intact(self, session: int, obj: int) -> bool:
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
