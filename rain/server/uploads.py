"""Large constants as files: chunks come in order, and an object appears only when all of it is there.

Called by the stash of one session; knows nothing of limits between sessions.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from rain.core.errors import ProtocolViolation
from rain.core.ids import MAX_ID, object_name
from rain.protocol.client import UPLOAD_CHUNK_BYTES, Upload
from rain.wire.incoming import OBJECT_MODE


class _Unfinished(msgspec.Struct):
    """An upload of which chunks are still to come."""

    total: int
    received: int = 0


class Uploads:
    """The uploaded constants of one session, each a file in `folder`."""

    __slots__ = ("_folder", "_fresh", "_session", "_sizes", "_unfinished")

    def __init__(self, folder: Path, session: int) -> None:
        self._folder = folder
        self._session = session
        #: Size in bytes of every complete object.
        self._sizes: dict[int, int] = {}
        self._unfinished: dict[int, _Unfinished] = {}
        #: Complete, and not named by a submit yet: when an earlier use of the same object ends, they stay.
        self._fresh: set[int] = set()

    def __len__(self) -> int:
        return len(self._sizes) + len(self._unfinished)

    def size(self, obj: int) -> int | None:
        """Size in bytes of a complete object, None where there is none."""
        return self._sizes.get(obj)

    def path(self, obj: int) -> Path:
        """The file of a complete object."""
        return self._folder / object_name(self._session, obj)

    def begins(self, chunk: Upload) -> bool:
        """Whether this chunk is the first of an object: from here on its whole size counts."""
        return chunk.offset == 0

    def restart(self, chunk: Upload) -> int | None:
        """Forgets an unfinished upload of the object, which begins again: its whole size. None where there is none."""
        unfinished = self._unfinished.pop(chunk.object, None)
        if unfinished is None:
            return None
        self._part(chunk.object).unlink(missing_ok=True)
        return unfinished.total

    def check(self, chunk: Upload, length: int) -> None:
        """Raises ProtocolViolation unless the chunk is the next one of its object and lies within its size."""
        if not 0 <= chunk.object < MAX_ID:
            raise ProtocolViolation(f"upload: numbers of objects are below {MAX_ID}, found {chunk.object}")
        # A client that could not go on, since its file had changed, may begin again.
        known = None if chunk.offset == 0 else self._unfinished.get(chunk.object)
        expected = _Unfinished(chunk.total) if known is None else known
        if chunk.total != expected.total or chunk.total < 0:
            raise ProtocolViolation(f"upload of {chunk.total} bytes, {expected.total} were announced")
        if chunk.offset != expected.received:
            raise ProtocolViolation(f"upload: chunk at {chunk.offset}, expected at {expected.received}")
        if length > UPLOAD_CHUNK_BYTES or chunk.offset + length > chunk.total:
            raise ProtocolViolation(f"upload: chunk of {length} bytes at {chunk.offset} of {chunk.total}")
        if not length and chunk.total:
            raise ProtocolViolation("upload: an empty chunk")

    def add(self, chunk: Upload, data: bytes | memoryview) -> None:
        """Keep a chunk that was checked. An object that is sent again is replaced when it is complete.

        Raises OSError where the disk takes no more.
        """
        upload = self._unfinished.setdefault(chunk.object, _Unfinished(chunk.total))
        part = self._part(chunk.object)
        start = os.O_CREAT | os.O_EXCL if upload.received == 0 else 0
        fd = os.open(part, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | start, 0o600)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
        finally:
            os.close(fd)
        upload.received += len(data)
        if upload.received == upload.total:
            del self._unfinished[chunk.object]
            # Whoever takes it by a link must not write to it.
            part.chmod(OBJECT_MODE)
            part.rename(self.path(chunk.object))
            self._sizes[chunk.object] = upload.total
            self._fresh.add(chunk.object)

    def named(self, obj: int) -> None:
        """A submit names this object: from now on its end is the end of that use."""
        self._fresh.discard(obj)

    def drop(self, obj: int) -> int:
        """Remove an object that a submit named; how many bytes that freed."""
        if obj in self._fresh:
            return 0
        size = self._sizes.pop(obj, None)
        if size is None:
            return 0
        self.path(obj).unlink(missing_ok=True)
        # One that is being sent again is counted on; its bytes are those of the new one.
        return 0 if obj in self._unfinished else size

    def close(self) -> None:
        """Remove all files."""
        for obj in self._sizes:
            self.path(obj).unlink(missing_ok=True)
        for obj in self._unfinished:
            self._part(obj).unlink(missing_ok=True)
        self._sizes.clear()
        self._unfinished.clear()
        self._fresh.clear()

    def _part(self, obj: int) -> Path:
        return self._folder / f"{object_name(self._session, obj)}.part"
