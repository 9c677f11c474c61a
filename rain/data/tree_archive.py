"""A folder as the bytes of a tar that never exists as a whole: any range of it is made when it is asked for.

Where each member lies in a tar follows from the members' names and sizes, so one walk over the tree is enough to know
the size of the tar and to find any byte of it. The same tree gives the same bytes on every machine: members are sorted,
owners are 0, times are 0, and modes are 0644 or 0755. Headers are POSIX ustar; names that are long or not ASCII, and
sizes from 8 GiB, are in pax headers. Source: IEEE Std 1003.1-2017, pax, "pax Interchange Format".
"""

from __future__ import annotations

import io
import os
import stat
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from rain.core.errors import RainException
from rain.data.tree import OpenFolders, scan
from rain.data.tree_names import DEFAULT_LIMITS, TreeLimits

BLOCK_BYTES = 512

_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_END = bytes(2 * BLOCK_BYTES)
_MAX_USTAR_NAME_BYTES = 100
#: Sizes are eleven octal digits.
_MAX_USTAR_SIZE = 8**11 - 1
_PIECE_BYTES = 1 << 20
_NOBODY = b"0" * 7 + b"\0"
_NO_TIME = b"0" * 11 + b"\0"

#: What a member is, as the archive keeps it.
_FILE, _PROGRAM, _FOLDER = range(3)


class TreeArchive:
    """The tar of a folder as it is now; no file stays open between calls, which may come from any thread.

    A member that has changed by the time it is read is an error, never a mixture of both states.
    """

    __slots__ = ("_kinds", "_mtimes_ns", "_offsets", "_paths", "_root", "_sizes", "_sources", "size")

    def __init__(self, root: str | os.PathLike[str], limits: TreeLimits = DEFAULT_LIMITS) -> None:
        """Walks over the tree. Raises RainException where something in it cannot be part of a directory object."""
        self._root = Path(root)
        self._paths: list[str] = []
        self._kinds = bytearray()
        self._sizes = array("q")
        self._mtimes_ns = array("q")
        #: Where each member's headers begin.
        self._offsets = array("q")
        #: By member number: where those are that a link leads to.
        self._sources: dict[int, str] = {}
        offset = 0
        for member in scan(self._root, limits):
            if member.source != member.path:
                self._sources[len(self._paths)] = member.source
            kind = _FOLDER if member.is_folder else _PROGRAM if member.executable else _FILE
            self._paths.append(member.path)
            self._kinds.append(kind)
            self._sizes.append(member.size)
            self._mtimes_ns.append(member.mtime_ns)
            self._offsets.append(offset)
            offset += _header_size(member.path, kind, member.size) + _padded(member.size)
        #: Bytes of the tar.
        self.size: int = offset + len(_END)

    @property
    def members(self) -> list[tuple[str, int]]:
        """Relative path and size in bytes of every member; a folder's path ends with a slash, its size is 0."""
        return [
            (f"{path}/" if kind == _FOLDER else path, size)
            for path, kind, size in zip(self._paths, self._kinds, self._sizes, strict=True)
        ]

    @property
    def content_size(self) -> int:
        """Bytes of all files together."""
        return sum(self._sizes)

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of the tar from `offset`, fewer than `length` only at the end.

        Raises RainException where a file in the range has changed since the walk.
        """
        if offset < 0 or length < 0:
            raise RainException(f"There is no range of {length} bytes from byte {offset}; both must be 0 or more.")
        pieces = list(self._pieces(offset, min(offset + length, self.size)))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write_to(self, file: BinaryIO) -> None:
        """Writes the whole tar, piece by piece. Raises RainException as `read` does."""
        for piece in self._pieces(0, self.size):
            file.write(piece)

    def open(self) -> BinaryIO:
        """The tar as a binary file that can be read and sought in."""
        return cast(BinaryIO, io.BufferedReader(_ArchiveFile(self), _PIECE_BYTES))

    def _pieces(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` to `end`, in pieces of at most 1 MiB."""
        if start >= end:
            return
        try:
            folders = OpenFolders(self._root)
        except OSError as error:
            raise RainException(f"The directory {str(self._root)!r} is gone: {error.strerror}.") from error
        with folders:
            for number in range(max(0, bisect_right(self._offsets, start) - 1), len(self._paths)):
                first = self._offsets[number]
                if first >= end:
                    return
                yield from self._member_pieces(folders, number, max(0, start - first), end - first)
        content_end = self.size - len(_END)
        if end > content_end:
            yield _END[max(0, start - content_end) : end - content_end]

    def _member_pieces(self, folders: OpenFolders, number: int, start: int, end: int) -> Iterator[bytes]:
        """`start` and `end` count from the beginning of the member's headers and may lie outside of it."""
        path, kind, size = self._paths[number], self._kinds[number], self._sizes[number]
        header_size = _header_size(path, kind, size)
        if start < header_size:
            yield _header(path, kind, size)[start:end]
        start, end = max(0, start - header_size), end - header_size
        if start < min(end, size):
            yield from self._file_pieces(folders, number, start, min(end, size))
        padding = min(end, _padded(size)) - max(start, size)
        if padding > 0:
            yield bytes(padding)

    def _file_pieces(self, folders: OpenFolders, number: int, start: int, end: int) -> Iterator[bytes]:
        path = self._sources.get(number, self._paths[number])
        folder, _, name = path.rpartition("/")
        try:
            file = os.open(name, _FILE_FLAGS, dir_fd=folders.open(folder))
        except OSError as error:
            raise self._changed(number, error.strerror) from error
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise self._changed(number, "it is no regular file any more")
            if status.st_size != self._sizes[number]:
                raise self._changed(number, f"it had {self._sizes[number]} bytes and has {status.st_size}")
            if status.st_mtime_ns != self._mtimes_ns[number]:
                raise self._changed(number, "it was written to")
            while start < end:
                piece = os.pread(file, min(end - start, _PIECE_BYTES), start)
                if not piece:
                    raise self._changed(number, f"it ends after {start} of {self._sizes[number]} bytes")
                yield piece
                start += len(piece)
        except OSError as error:
            raise self._changed(number, error.strerror) from error
        finally:
            os.close(file)

    def _changed(self, number: int, reason: str | None) -> RainException:
        return RainException(
            f"{str(self._root / self._paths[number])!r} changed while its directory was being read: {reason}. "
            "A folder that becomes a data object must stay as it is until it has been sent."
        )


class _ArchiveFile(io.RawIOBase):
    """The position in a tar that `TreeArchive.open` hides behind a buffer."""

    def __init__(self, archive: TreeArchive) -> None:
        self._archive = archive
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._archive.size}[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset} is before the beginning")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        data = self._archive.read(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


# ------------------------------------------------------------------------------------------ the format


def _padded(size: int) -> int:
    return size + -size % BLOCK_BYTES


def _records(path: str, kind: int, size: int) -> bytes:
    """What does not fit into the plain header."""
    name = f"{path}/" if kind == _FOLDER else path
    records = b""
    if len(name) > _MAX_USTAR_NAME_BYTES or not name.isascii():
        records += _record("path", name)
    if size > _MAX_USTAR_SIZE:
        records += _record("size", str(size))
    return records


def _record(key: str, value: str) -> bytes:
    rest = f" {key}={value}\n".encode()
    # A record begins with its length in bytes, digits of the length included.
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def _header_size(path: str, kind: int, size: int) -> int:
    # By far the most common; a folder has a slash more.
    if len(path) < _MAX_USTAR_NAME_BYTES and path.isascii() and size <= _MAX_USTAR_SIZE:
        return BLOCK_BYTES
    records = _records(path, kind, size)
    return BLOCK_BYTES + (BLOCK_BYTES + _padded(len(records)) if records else 0)


def _header(path: str, kind: int, size: int) -> bytes:
    name = f"{path}/" if kind == _FOLDER else path
    mode = 0o644 if kind == _FILE else 0o755
    plain = name.encode("ascii", errors="replace")[:_MAX_USTAR_NAME_BYTES]
    block = _ustar_block(plain, mode, min(size, _MAX_USTAR_SIZE), b"5" if kind == _FOLDER else b"0")
    records = _records(path, kind, size)
    if not records:
        return block
    extension = _ustar_block(b"././@PaxHeader", 0o644, len(records), b"x")
    return extension + records + bytes(-len(records) % BLOCK_BYTES) + block


def _ustar_block(name: bytes, mode: int, size: int, typeflag: bytes) -> bytes:
    # Name, mode, user, group, size, time | checksum | kind, link, magic, version; then empty names of owners, prefix.
    before = b"%s%07o\0%s%s%011o\0%s" % (name.ljust(100, b"\0"), mode, _NOBODY, _NOBODY, size, _NO_TIME)
    after = typeflag + bytes(100) + b"ustar\0" + b"00"
    # The checksum counts itself as eight blanks.
    checksum = sum(before) + sum(after) + 8 * 0x20
    return (before + b"%06o\0 " % checksum + after).ljust(BLOCK_BYTES, b"\0")
