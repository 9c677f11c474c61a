"""The way back from a tar to a folder, for archives that nobody trusts.

Archives come from other machines and from users. Only regular files and folders are taken, names are checked one by
one, and every file is made anew (`O_EXCL`, `O_NOFOLLOW`) in a folder that was opened from the target downwards: no link
is ever made, so there is none to write through. That is on purpose not `tarfile.extractall`, whose filters have been
got around (CVE-2024-12718, CVE-2025-4138, CVE-2025-4330, CVE-2025-4517), and no header can make it allocate more than
`_MAX_EXTENSION_BYTES` (sparse files and extension headers of any size are where readers of tars run out of memory).
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rain.core.errors import RainException
from rain.data.aging import date_back
from rain.data.copying import write_all
from rain.data.tree import FOLDER_MODE, OpenFolders
from rain.data.tree_archive import BLOCK_BYTES
from rain.data.tree_files import file_mode
from rain.data.tree_names import DEFAULT_LIMITS, TreeLimits, checked_parts
from rain.data.tree_removal import remove_tree

_NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE_BYTES = 1 << 20
#: Long names and pax records of one member; paths are far shorter.
_MAX_EXTENSION_BYTES = 64 << 10
#: Extension headers before one member: a long name, pax records, global ones.
_MAX_EXTENSIONS = 8

#: A long target of a link is passed over: the link that follows is refused.
_EXTENSIONS = {
    tarfile.XHDTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}
_REFUSED_KINDS = {
    tarfile.LNKTYPE: "hard link (GNU tar packs files instead with --hard-dereference)",
    tarfile.SYMTYPE: "symbolic link (tar packs what it points at with -h)",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "named pipe",
    tarfile.GNUTYPE_SPARSE: "sparse file (pack without --sparse)",
}


def unpack(
    source: bytes | Path | BinaryIO, target: Path, *, limits: TreeLimits = DEFAULT_LIMITS, read_only: bool = False
) -> None:
    """Makes the folder `target`, which must not exist yet, from an uncompressed tar: all of it, or nothing is left.

    Files get mode 0644 or 0755, with `read_only` 0444 or 0555; folders 0755. A stream is read up to the archive's end
    mark. Raises RainException that names the member.
    """
    try:
        with _opened(source) as stream:
            target.mkdir(mode=0o700)
            try:
                _unpack_into(_TarReader(stream), target, limits, read_only)
                # Until now nobody else could see what is in it.
                target.chmod(FOLDER_MODE)
            except BaseException:
                remove_tree(target)
                raise
    except FileExistsError:
        raise RainException(f"{str(target)!r} exists; a directory is written to a path where nothing is yet.") from None
    except OSError as error:
        raise RainException(f"A directory cannot be unpacked to {str(target)!r}: {error}.") from error


def _opened(source: bytes | Path | BinaryIO) -> AbstractContextManager[BinaryIO]:
    if isinstance(source, bytes):
        return nullcontext(io.BytesIO(source))
    if isinstance(source, Path):
        return source.open("rb", buffering=_PIECE_BYTES)
    return nullcontext(source)


def _unpack_into(reader: _TarReader, target: Path, limits: TreeLimits, read_only: bool) -> None:
    n_files = n_bytes = 0
    with OpenFolders(target, make=True) as folders:
        for entry in reader:
            parts = checked_parts(entry.name, limits)
            n_files += not entry.is_folder
            n_bytes += entry.size
            if n_bytes > limits.max_bytes:
                raise RainException(f"{entry.name!r}: the archive's files have more than {limits.max_bytes} bytes.")
            if not parts and not entry.is_folder:
                raise RainException(f"{entry.name!r} in the archive is a file with the name of the directory itself.")
            name = "" if entry.is_folder else parts.pop()
            try:
                # Folders on the way may be missing in the archive, so those are counted that are made.
                folder = folders.open("/".join(parts))
                if n_files + folders.made > limits.max_members:
                    raise RainException(f"The archive has more than {limits.max_members} files and folders.")
                if not entry.is_folder:
                    _write_file(reader, folder, name, file_mode(entry.executable, read_only))
            except FileExistsError:
                raise RainException(f"{entry.name!r} is in the archive twice.") from None
            except NotADirectoryError:
                raise RainException(f"{entry.name!r}: a folder on its way is in the archive as a file, too.") from None
            except OSError as error:
                raise RainException(
                    f"{entry.name!r} cannot be written to {str(target)!r}: {error.strerror}."
                ) from error


def _write_file(reader: _TarReader, folder: int, name: str, mode: int) -> None:
    file = os.open(name, _NEW_FILE_FLAGS, 0o600, dir_fd=folder)
    try:
        for piece in reader.pieces():
            write_all(file, piece)
        os.fchmod(file, mode)
        if not mode & 0o222:
            date_back(file)
    finally:
        os.close(file)


class _TarEntry(NamedTuple):
    """A member as its headers describe it; nothing about the name has been checked."""

    name: str
    is_folder: bool
    executable: bool
    size: int


class _TarReader:
    """The regular files and folders of a tar in a stream; everything else in it raises RainException."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        #: Bytes of the current member that have not been read, without padding, and its padding.
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[_TarEntry]:
        while (entry := self._next()) is not None:
            self._left, self._padding = entry.size, -entry.size % BLOCK_BYTES
            yield entry
            for _ in self.pieces():
                pass
            self._read(self._padding)

    def pieces(self) -> Iterator[bytes]:
        """What is left of the current member's data, in pieces of at most 1 MiB."""
        while self._left:
            piece = self._stream.read(min(self._left, _PIECE_BYTES))
            if not piece:
                raise _cut_off()
            self._left -= len(piece)
            yield piece

    def _next(self) -> _TarEntry | None:
        name: str | None = None
        size: int | None = None
        for _ in range(_MAX_EXTENSIONS + 1):
            block = self._read(BLOCK_BYTES)
            if not any(block):
                return None
            header = _parsed(block)
            if header.type not in _EXTENSIONS:
                return _entry(header, name, size)
            data = self._extension(header)
            if header.type == tarfile.GNUTYPE_LONGNAME:
                name = os.fsdecode(data.rstrip(b"\0"))
            if header.type in {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}:
                continue
            records = _pax_records(data)
            if any(key.startswith(b"GNU.sparse.") for key in records):
                raise _refused(name or header.name, _REFUSED_KINDS[tarfile.GNUTYPE_SPARSE])
            if header.type == tarfile.XGLTYPE:
                if records.keys() & {b"path", b"size"}:
                    raise RainException("The archive gives a name or a size to all members at once; that is no tar.")
                continue
            if b"path" in records:
                name = os.fsdecode(records[b"path"])
            if b"size" in records:
                size = _number(records[b"size"])
        raise RainException(f"The archive has more than {_MAX_EXTENSIONS} extension headers for one member.")

    def _extension(self, header: tarfile.TarInfo) -> bytes:
        if not 0 <= header.size <= _MAX_EXTENSION_BYTES:
            raise RainException(
                f"The archive has an extension header of {header.size} bytes; at most {_MAX_EXTENSION_BYTES} are read."
            )
        data = self._read(header.size)
        self._read(-header.size % BLOCK_BYTES)
        return data

    def _read(self, size: int) -> bytes:
        """Exactly so many bytes, however few the stream gives at a time."""
        data = self._stream.read(size) if size else b""
        while len(data) < size:
            more = self._stream.read(size - len(data))
            if not more:
                raise _cut_off()
            data += more
        return data


def _parsed(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        hint = " It looks compressed; decompress it first." if block[:2] in {b"\x1f\x8b", b"BZ", b"\xfd7"} else ""
        raise RainException(f"These bytes are no tar: {error}.{hint}") from None


def _entry(header: tarfile.TarInfo, name: str | None, size: int | None) -> _TarEntry:
    name = header.name if name is None else name
    size = header.size if size is None else size
    # Before POSIX a folder was a file whose name ends with a slash, which a long name says only now.
    is_folder = header.type == tarfile.DIRTYPE or (header.type == tarfile.AREGTYPE and name.endswith("/"))
    if not is_folder and header.type not in {tarfile.REGTYPE, tarfile.AREGTYPE}:
        kind = _REFUSED_KINDS.get(header.type, f"member of an unknown kind {header.type!r}")
        raise _refused(name, kind)
    if size < 0 or (is_folder and size):
        raise RainException(f"{name!r} in the archive has a size of {size} bytes, which is impossible.")
    if not is_folder and name.endswith("/"):
        raise RainException(f"{name!r} in the archive is a file with the name of a folder.")
    return _TarEntry(name, is_folder, bool(header.mode & 0o111), size)


def _pax_records(data: bytes) -> dict[bytes, bytes]:
    records = {}
    position = 0
    while position < len(data):
        digits, blank, _ = data[position : position + 20].partition(b" ")
        end = position + _number(digits)
        key, equals, value = data[position + len(digits) + 1 : end - 1].partition(b"=")
        if not blank or not equals or end > len(data) or data[end - 1 : end] != b"\n":
            raise RainException(f"The archive has a damaged pax header: {data[position : position + 40]!r}.")
        records[key] = value
        position = end
    return records


def _number(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 19:
        raise RainException(f"The archive has a damaged pax header: {digits[:40]!r} is no number.")
    return int(digits)


def _refused(name: str, kind: str) -> RainException:
    return RainException(f"{name!r} in the archive is a {kind}; a directory holds regular files and folders.")


def _cut_off() -> RainException:
    return RainException("The archive ends in the middle; a part of it is missing.")
