"""Constants that stay on the client's disk until they are sent: a file, or a folder as a tar that is made on the way.

They are what they were when `file` or `directory` was called: whoever changed them meanwhile is told so by the submit,
also by later ones that send them again.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from pathlib import Path

from rain.core.content import DIRECTORY, checked_type
from rain.core.errors import RainException
from rain.data.tree_archive import TreeArchive
from rain.data.tree_files import tree_fingerprint


class OnDisk(ABC):
    """A constant of which only the size is known here; read in ranges, from any thread."""

    __slots__ = ("content_type", "label", "size")

    def __init__(self, size: int, content_type: str | None, label: str) -> None:
        #: Bytes.
        self.size = size
        self.content_type = content_type
        self.label = label

    @property
    def data(self) -> bytes:
        """All the bytes. Raises RainException as `read` does."""
        return self.read(0, self.size)

    @abstractmethod
    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes. Raises RainException where they are not what they were."""

    @abstractmethod
    def check(self) -> None:
        """Raises RainException where it is not what it was."""


class FileOnDisk(OnDisk):
    """A regular file."""

    __slots__ = ("_path", "_state")

    def __init__(self, path: str | os.PathLike[str], label: str | None, content_type: str | None) -> None:
        """Raises RainException where there is no such file."""
        self._path = given_path(path, "file")
        try:
            status = self._path.stat()
            if not stat.S_ISREG(status.st_mode):
                hint = "; a folder becomes a data object by directory(path)" if stat.S_ISDIR(status.st_mode) else ""
                raise RainException(f"file: {str(self._path)!r} is no regular file{hint}")
            # Now, rather than when it is sent.
            with self._path.open("rb"):
                pass
        except OSError as error:
            raise RainException(f"file: {str(self._path)!r} cannot be read: {error.strerror}") from None
        self._state = _state_of(status)
        super().__init__(status.st_size, checked_type(content_type), self._path.name if label is None else label)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes. Raises RainException where they are not what they were."""
        try:
            with self._path.open("rb", buffering=0) as opened:
                self._compare(os.fstat(opened.fileno()))
                data = bytearray()
                while len(data) < length and (
                    more := os.pread(opened.fileno(), length - len(data), offset + len(data))
                ):
                    data += more
        except OSError as error:
            raise self._changed(f"it cannot be read: {error.strerror}") from None
        if len(data) != length:
            raise self._changed("it has become shorter")
        return bytes(data)

    def check(self) -> None:
        """Raises RainException where it is not what it was."""
        try:
            self._compare(self._path.stat())
        except OSError as error:
            raise self._changed(f"it cannot be read: {error.strerror}") from None

    def _compare(self, status: os.stat_result) -> None:
        if _state_of(status) != self._state:
            raise self._changed("it was written to, or replaced")

    def _changed(self, reason: str) -> RainException:
        return RainException(
            f"{str(self._path)!r} changed after file() was called: {reason}. A file that is a data object has to stay "
            "as it is until it has been submitted; call file() again for its present content."
        )


class DirectoryOnDisk(OnDisk):
    """A folder with all that is in it."""

    __slots__ = ("_archive", "_root", "_state")

    def __init__(self, path: str | os.PathLike[str], label: str | None) -> None:
        """Raises RainException where there is no such folder, or something in it cannot be part of a directory."""
        self._root = given_path(path, "directory")
        if not self._root.is_dir():
            found = "is a file; file(path) takes one" if self._root.exists() else "is not there"
            raise RainException(f"directory: expected a folder, {str(self._root)!r} {found}")
        self._state = tree_fingerprint(self._root)
        self._archive = TreeArchive(self._root)
        super().__init__(self._archive.size, DIRECTORY, self._root.name if label is None else label)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes of the tar. Raises RainException where a file is not what it was."""
        return self._archive.read(offset, length)

    def check(self) -> None:
        """Raises RainException where it is not what it was."""
        if tree_fingerprint(self._root) != self._state:
            raise RainException(
                f"The directory {str(self._root)!r} changed after directory() was called. A folder that is a data "
                "object has to stay as it is until it has been submitted; call directory() again for what it has now."
            )


def given_path(path: object, what: str) -> Path:
    """The absolute path that a user means. Raises RainException for anything but a path."""
    try:
        text = os.fspath(path)  # type: ignore[call-overload]
    except TypeError:
        text = None
    if not isinstance(text, str) or not text or "\0" in text:
        raise RainException(f"{what}: expected a path as text, found {path!r}")
    return Path(os.path.abspath(os.path.expanduser(text)))  # noqa: PTH100, PTH111


def _state_of(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
