"""Small objects that memory has no room for: many of them in one file, until they are needed again or dropped."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from rain.wire.incoming import PART_PREFIX

#: What is written at once; a file of this size is worth its inode, and is written in a few milliseconds.
SEGMENT_BYTES = 4 << 20
#: A file of which less than one byte in so many is wanted is not worth its place.
_SPARSE = 4
_NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class SpillFile:
    """One file with some objects; it goes with the last of them."""

    __slots__ = ("_size", "_wanted_bytes", "is_dissolving", "members", "path")

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self._size = size
        self._wanted_bytes = size
        #: Session and number of those that are still here.
        self.members: set[tuple[int, int]] = set()
        #: The rest is being taken back into memory.
        self.is_dissolving = False

    @property
    def is_to_dissolve(self) -> bool:
        """Most of it is not wanted any more, so the rest is to be taken back."""
        return self._wanted_bytes * _SPARSE < self._size and not self.is_dissolving

    def release(self, key: tuple[int, int], size: int) -> None:
        """An object is not wanted here any more. Raises OSError where the file cannot be removed."""
        self.members.discard(key)
        self._wanted_bytes -= size
        if not self.members:
            self.path.unlink(missing_ok=True)


class Spilled:
    """Where the bytes of one object are."""

    __slots__ = ("_offset", "_size", "file")

    def __init__(self, file: SpillFile, offset: int, size: int) -> None:
        self.file = file
        self._offset = offset
        self._size = size

    @property
    def path(self) -> Path:
        """The file, which has other objects, too."""
        return self.file.path

    def read(self, offset: int, length: int) -> bytes | None:
        """These bytes; None where they are gone."""
        length = min(length, self._size - offset)
        try:
            fd = os.open(self.file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                data = os.pread(fd, length, self._offset + offset)
            finally:
                os.close(fd)
        except OSError:
            return None
        return data if len(data) == length else None


class SpillFolder:
    """Makes such files in a folder of objects, under names that no object has."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._n_files = 0

    def write(self, objects: Iterable[tuple[tuple[int, int], bytes]]) -> list[Spilled]:
        """Writes these objects, which are named by session and number, into one file; where each is, in their order.

        Raises OSError, and leaves nothing, when the disk is full.
        """
        given = list(objects)
        data = b"".join([content for _, content in given])
        self._n_files += 1
        file = SpillFile(self._folder / f"{PART_PREFIX}spilled-{self._n_files}", len(data))
        fd = os.open(file.path, _NEW_FILE_FLAGS, 0o600)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
        except OSError:
            file.path.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
        places = []
        offset = 0
        for key, content in given:
            file.members.add(key)
            places.append(Spilled(file, offset, len(content)))
            offset += len(content)
        return places
