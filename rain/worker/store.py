"""The objects that a worker holds: small ones as bytes in memory, large ones as files that nobody writes to any more.

A file `s1.o17` lies in the store's folder before the store hears of it: an executor or the fetcher put it there whole.
A large directory is a folder of that name, sealed (see `rain.data.tree_files`); a small one is the bytes of its tar.
Small objects that memory has no room for are in files, too, many in each, until somebody asks for them.
The machine decides what stays; the store does what it is told and knows no reasons.
"""

from __future__ import annotations

import logging
import os
import stat
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

from rain.core.content import DIRECTORY
from rain.core.errors import InvariantViolation
from rain.core.ids import object_name, session_name
from rain.wire.holder import Stored
from rain.wire.incoming import OBJECT_MODE, PartFile
from rain.worker.machine.numbers import among, neighbours
from rain.worker.removal import Remover, unlink
from rain.worker.resident import Resident
from rain.worker.segments import Segment, Segments
from rain.worker.spill import SEGMENT_BYTES, Spilled, SpillFolder
from rain.worker.stored_tree import StoredTree

_log = logging.getLogger("rain.worker.store")


class ObjectStore:
    """Objects by session and number; `folder` belongs to the store and to those who put files for it there.

    `limit_bytes`: what small objects in memory may come to; None: all there are.
    """

    def __init__(self, folder: Path, limit_bytes: int | None = None) -> None:
        self._folder = folder
        self._resident = Resident(limit_bytes)
        self._spills = SpillFolder(folder)
        self._sessions: dict[int, dict[int, Stored]] = {}
        #: Small results that came together; an object is here or there.
        self._segments: dict[int, Segments] = {}
        #: When each file was written, by session and object; files that are known to be lost are not here.
        self._mtimes: dict[tuple[int, int], int] = {}
        self._remover = Remover(folder)

    def close(self) -> None:
        """Returns when no thread works in the folder any more; whoever owns that removes what is left."""
        self._remover.close()

    def get(self, session: int, obj: int) -> Stored | None:
        """The object, None when it is not here."""
        objects = self._sessions.get(session)
        stored = None if objects is None else objects.get(obj)
        if stored is not None and isinstance(stored.data, Spilled):
            return self._bring_back(session, obj, stored, stored.data)
        if stored is None and session in self._segments:
            segment = self._segments[session].get(obj)
            return None if segment is None else self._from_segment(session, segment, obj)
        return stored

    def small(self, session: int, first: int, count: int) -> Iterator[bytes | memoryview]:
        """The bytes of small objects that are neighbours, in few pieces. Raises InvariantViolation."""
        at, end = first, first + count
        if session in self._segments:
            for start, length, segment in list(self._segments[session].stretches(first, count)):
                data = segment.read(start, length)
                if data is None:
                    continue  # lost, as each of them is found to be below
                yield from (self._bytes_of(session, obj) for obj in range(at, start))
                yield data
                at = start + length
        yield from (self._bytes_of(session, obj) for obj in range(at, end))

    @property
    def memory_bytes(self) -> int:
        """What small objects in memory come to."""
        return self._resident.n_bytes

    def limit_memory(self, limit_bytes: int) -> None:
        """From now on small objects in memory may come to so much; what is more is written to files now."""
        self._resident.limit_bytes = limit_bytes
        self._make_room()

    def path(self, session: int, obj: int) -> Path:
        """Where the file of this object is, or would be."""
        return self._folder / object_name(session, obj)

    def put_bytes(self, session: int, obj: int, data: bytes, content_type: str | None = None) -> None:
        """Takes a small object; one that is here already is replaced."""
        self._put(session, obj, Stored(len(data), content_type, data))

    def put_range(self, session: int, first: int, sizes: array[int], data: bytes, content_type: str | None) -> None:
        """Takes small objects that are numbered on from `first`; those that are here already are replaced."""
        if not sizes:
            return
        self._discard_held(session, first, len(sizes))
        segments = self._segments.setdefault(session, Segments())
        segment = segments.put(first, sizes, data, content_type)
        self._resident.add((session, segment.key), segment.n_bytes)
        self._make_room()

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
                self._remover.remove(path)
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
        self._remover.remove(path)

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
        """The file of an object, which is written now if there is none; None: it is not here. Raises OSError."""
        stored = self.get(session, obj)
        if stored is None:
            return None
        if isinstance(stored.data, Path | StoredTree):
            return stored.data if isinstance(stored.data, Path) else stored.data.path
        assert isinstance(stored.data, bytes), "what `get` gives is bytes, a file or a folder"
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
                unlink(self.path(session, obj))
        return found

    def discard(self, session: int, objects: Iterable[int]) -> None:
        """Removes objects; those that are not here are fine, and so are files that never became objects."""
        for first, count in neighbours(array("I", objects)):
            if self._discard_held(session, first, count) < count:
                for obj in range(first, first + count):
                    self._remover.remove(self.path(session, obj))

    def close_session(self, session: int) -> None:
        """Removes everything of a session, also files of it that the store never heard of."""
        held = list(self._sessions.pop(session, {}).items())
        for obj, _ in held:
            self._mtimes.pop((session, obj), None)
        held += [(segment.key, _as_stored(segment)) for segment in self._segments.pop(session, ())]
        # What is in memory first: to forget what is not may have others moved, for which there must be nothing of it.
        for obj, stored in sorted(held, key=lambda each: isinstance(each[1].data, Spilled)):
            self._forget_bytes(session, obj, stored)
        prefix = f"{session_name(session)}.o"
        with os.scandir(self._folder) as entries:
            left = [Path(entry.path) for entry in entries if entry.name.startswith(prefix)]
        for path in left:
            self._remover.remove(path)

    def _put(self, session: int, obj: int, stored: Stored, mtime_ns: int | None = None) -> None:
        objects = self._sessions.setdefault(session, {})
        self._discard_from_segments(session, obj, 1)
        old = objects.get(obj)
        if old is not None and isinstance(old.data, Path) and old.data != stored.data:
            unlink(old.data)
        elif old is not None and isinstance(old.data, StoredTree) and old.data is not stored.data:
            # One that was made again lies where this one was.
            self._release(old.data, remove=not _lies_at(stored, old.data.path))
        elif old is not None:
            self._forget_bytes(session, obj, old)
        objects[obj] = stored
        if isinstance(stored.data, bytes):
            self._resident.add((session, obj), stored.size)
            self._make_room()
        if mtime_ns is not None:
            self._mtimes[session, obj] = mtime_ns
        elif old is not None:
            self._mtimes.pop((session, obj), None)

    def _make_room(self) -> None:
        """Writes the objects that came first to files, as long as there are more than may be."""
        while self._resident.is_over:
            keys = self._resident.take_oldest(SEGMENT_BYTES)
            objects = [(session, obj, self._resident_object(session, obj)) for session, obj in keys]
            given = [
                ((session, obj), stored.data) for session, obj, stored in objects if isinstance(stored.data, bytes)
            ]
            try:
                places = self._spills.write(given)
            except OSError as error:
                _log.warning("small objects stay in memory, they cannot be written: %s", error)
                for session, obj, stored in objects:
                    self._resident.add((session, obj), stored.size)
                # Tried again when there is a new limit.
                self._resident.limit_bytes = None
                return
            for (session, obj, stored), place in zip(objects, places, strict=True):
                segment = self._segments[session].by_key(obj) if obj < 0 else None
                if segment is not None:
                    segment.data = place
                else:
                    self._sessions[session][obj] = Stored(stored.size, stored.content_type, place)

    def _resident_object(self, session: int, obj: int) -> Stored:
        segment = self._segments[session].by_key(obj) if obj < 0 else None
        return self._sessions[session][obj] if segment is None else _as_stored(segment)

    def _from_segment(self, session: int, segment: Segment, obj: int) -> Stored:
        """An object of a segment; it stays there."""
        data, size = segment.read(obj, 1), segment.size(obj)
        if data is None:
            return self._lose(session, obj, Stored(size, segment.content_type, b""))
        return Stored(size, segment.content_type, bytes(data))

    def _discard_held(self, session: int, first: int, count: int) -> int:
        """Removes objects that are here; how many were."""
        n_removed = self._discard_from_segments(session, first, count)
        held = self._sessions.get(session)
        if not held or n_removed == count:
            return n_removed
        for obj in among(held, first, count):
            stored = held.pop(obj)
            n_removed += 1
            if isinstance(stored.data, Path):
                self._mtimes.pop((session, obj), None)
                unlink(stored.data)
            elif isinstance(stored.data, StoredTree):
                self._release(stored.data)
            else:
                self._forget_bytes(session, obj, stored)
        return n_removed

    def _discard_from_segments(self, session: int, first: int, count: int) -> int:
        segments = self._segments.get(session)
        if segments is None:
            return 0
        n_removed = 0
        for length, segment in segments.discard(first, count):
            n_removed += length
            if not segment.n_held:
                self._forget_bytes(session, segment.key, _as_stored(segment))
            elif segment.is_to_dissolve:
                segment.is_dissolving = True
                for obj in segments.held(segment):
                    self._put(session, obj, self._from_segment(session, segment, obj))
        return n_removed

    def _bring_back(self, session: int, obj: int, stored: Stored, spilled: Spilled) -> Stored:
        data = spilled.read(0, stored.size)
        if data is not None:
            back = Stored(stored.size, stored.content_type, data)
            self._put(session, obj, back)
            return back
        return self._lose(session, obj, stored)

    def _lose(self, session: int, obj: int, stored: Stored) -> Stored:
        _log.warning("%s is lost: somebody changed or removed a file of the store", object_name(session, obj))
        self._discard_from_segments(session, obj, 1)
        self._forget_bytes(session, obj, stored)
        lost = Stored(stored.size, stored.content_type, self.path(session, obj))
        self._sessions.setdefault(session, {})[obj] = lost
        # No file was written then, so whoever looks finds it damaged.
        self._mtimes[session, obj] = -1
        return lost

    def _forget_bytes(self, session: int, obj: int, stored: Stored) -> None:
        """An object that was in memory, or would have been with more of it, is not here any more."""
        if isinstance(stored.data, bytes):
            self._resident.drop((session, obj))
        elif isinstance(stored.data, Spilled):
            file = stored.data.file
            try:
                file.release((session, obj), stored.size)
            except OSError as error:
                _log.warning("a file of small objects cannot be removed: %s", error)
            if file.is_to_dissolve:
                file.is_dissolving = True
                for key in list(file.members):
                    self._take_back(*key)

    def _take_back(self, session: int, obj: int) -> None:
        """Has an object, or a segment, that is in a file of many in memory again."""
        if obj >= 0:
            self.get(session, obj)
            return
        segment = self._segments[session].by_key(obj) if session in self._segments else None
        if segment is None:
            return  # its session is being closed
        data = segment.read(segment.first, len(segment))
        if data is not None:
            self._forget_bytes(session, obj, _as_stored(segment))
            segment.data = bytes(data)
            self._resident.add((session, obj), segment.n_bytes)
            self._make_room()

    def _bytes_of(self, session: int, obj: int) -> bytes:
        stored = self.get(session, obj)
        if stored is None:
            raise InvariantViolation(f"{object_name(session, obj)} is reported, but it is not in the store")
        if isinstance(stored.data, Path):
            return stored.data.read_bytes()
        if not isinstance(stored.data, bytes):
            raise InvariantViolation(f"{object_name(session, obj)} is reported inline, but it is a folder")
        return stored.data

    def _release(self, tree: StoredTree, *, remove: bool = True) -> None:
        """One object less is this folder."""
        tree.n_names -= 1
        if not tree.n_names and remove:
            self._remover.remove(tree.path)

    def _is_intact(self, session: int, obj: int) -> bool:
        stored = self._sessions[session].get(obj) if session in self._sessions else None
        if stored is not None and isinstance(stored.data, StoredTree):
            return stored.data.is_intact()
        mtime_ns = self._mtimes.get((session, obj))
        if mtime_ns is None:
            return True
        try:
            status = self.path(session, obj).lstat()
        except OSError:
            return False
        size = self._sessions[session][obj].size
        return stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns) == (size, mtime_ns)


def _as_stored(segment: Segment) -> Stored:
    """A segment as the one object that it is for memory and for files of many."""
    return Stored(segment.n_bytes, segment.content_type, segment.data)


def _lies_at(stored: Stored, path: Path) -> bool:
    return isinstance(stored.data, StoredTree) and stored.data.path == path
