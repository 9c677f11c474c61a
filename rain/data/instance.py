"""A data object's value on this machine: what `fetch()` gives and what a Python task receives."""

from __future__ import annotations

import io
import mmap
import os
import shutil
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

from rain.core.content import DIRECTORY, checked_type, text_encoding
from rain.core.errors import RainException
from rain.data.encode import decode_value

#: Longer text is shown by its beginning only; `get_str()` gives all of it.
MAX_SHOWN_BYTES = 16 << 20
_PREVIEW_BYTES = 1 << 10

#: Files up to this size are read, larger ones are mapped.
_MAX_READ_BYTES = 64 << 10


class DataInstance:
    """Immutable bytes with a content type; they are in memory, or in a file that is mapped when it is asked for.

    Equal to `bytes` and `str` of the same content. `spec` and `info` are those of the data object where it is known.
    """

    __slots__ = ("__weakref__", "_data", "_path", "_size", "content_type", "info", "spec")

    def __init__(
        self,
        data: bytes | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        content_type: str | None = None,
        size: int | None = None,
        spec: Any = None,
        info: Any = None,
        temporary: bool = False,
    ) -> None:
        """From bytes, or from a file that nobody changes; a `temporary` file is removed with the instance."""
        if (data is None) == (path is None):
            raise RainException("A DataInstance is made either from data=bytes or from path=a file.")
        self._data: bytes | mmap.mmap | None = data
        self._path = None if path is None else Path(path)
        if data is not None:
            size = len(data)
        elif size is None:
            size = os.stat(self._path).st_size  # type: ignore[arg-type]  # noqa: PTH116
        self._size: int = size
        self.content_type = checked_type(content_type)
        self.spec = spec
        #: `info.user` goes with an input that is passed on as a result.
        self.info = info if info is not None else SimpleNamespace(user={})
        if temporary:
            weakref.finalize(self, _remove_file, str(self._path))

    # ------------------------------------------------------------------------------------------ reading

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    @property
    def data_type(self) -> str:
        """`blob` or `directory`."""
        return "directory" if self.content_type == DIRECTORY else "blob"

    @property
    def path(self) -> Path | None:
        """The file with the bytes, not to be changed; None where they are in memory only."""
        return self._path

    def get_bytes(self) -> bytes:
        """All the bytes, copied into memory where they are in a file."""
        return self._data if isinstance(self._data, bytes) else bytes(self.view())

    def get_str(self) -> str:
        """The text: UTF-8 unless the content type names an encoding. Raises RainException where it is no such text."""
        encoding = text_encoding(self.content_type) or "utf-8"
        try:
            return str(self.view(), encoding)
        except UnicodeDecodeError as error:
            raise RainException(
                f"{self!r} is no {encoding} text ({error.reason} at byte {error.start}); "
                "get_bytes() gives the bytes, load() the value where there is a content type."
            ) from None

    def load(self) -> Any:
        """The value that the bytes encode. Raises RainException without a content type, or where it is not that."""
        if self.content_type is None:
            raise RainException(
                f"{self!r} has no content type, so what its bytes mean is unknown; "
                "get_bytes() gives them, or give the object a type: blob(…, encode=…), Output(encode=…)."
            )
        return decode_value(self.view(), self.content_type)

    def to_bytes(self) -> bytes:
        """The same as `get_bytes()`."""
        return self.get_bytes()

    def to_str(self) -> str:
        """The same as `get_str()`."""
        return self.get_str()

    def view(self) -> memoryview:
        """The bytes without a copy, read-only."""
        if self._data is None:
            with self.open() as file:
                # An empty file cannot be mapped.
                if self._size <= _MAX_READ_BYTES:
                    self._data = file.read()
                else:
                    self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return memoryview(self._data)

    def open(self) -> BinaryIO:
        """A binary file to read the bytes from."""
        if self._path is not None:
            return self._path.open("rb")
        return io.BytesIO(self.get_bytes())

    # ------------------------------------------------------------------------------------------ files

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the bytes to a file of the caller's own."""
        if self._path is not None:
            shutil.copyfile(self._path, path)
        else:
            Path(path).write_bytes(self.get_bytes())

    def link(self, path: str | os.PathLike[str]) -> None:
        """Makes `path` a read-only link to the stored file; a copy where there is none, or links cannot be made."""
        if self._path is not None:
            try:
                os.link(self._path, path)
                return
            except FileExistsError:
                raise
            except OSError:
                pass  # another file system, or one without links
        self.write(path)

    # ------------------------------------------------------------------------------------------ Python's own

    def __len__(self) -> int:
        return self._size

    def __bool__(self) -> bool:
        return True

    def __bytes__(self) -> bytes:
        return self.get_bytes()

    def __str__(self) -> str:
        encoding = text_encoding(self.content_type) or "utf-8"
        try:
            if self._size <= MAX_SHOWN_BYTES:
                return str(self.view(), encoding)
            with self.open() as file:
                beginning = file.read(_PREVIEW_BYTES)
            return f"{beginning.decode(encoding, errors='replace')}… ({self._size} bytes in all)"
        except UnicodeDecodeError:
            return repr(self)

    def __repr__(self) -> str:
        shown = "" if self.content_type is None else f", {self.content_type}"
        return f"<DataInstance, {self._size} bytes{shown}>"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DataInstance):
            return self is other or (self._size == other._size and self.view() == other.view())
        if isinstance(other, bytes | bytearray | memoryview):
            return self._size == len(other) and self.view() == other
        if isinstance(other, str):
            encoding = text_encoding(self.content_type) or "utf-8"
            try:
                return self.view() == other.encode(encoding)
            except UnicodeEncodeError:
                return False
        return NotImplemented

    # Equal to bytes and to str, whose hashes differ from one another.
    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return _rebuilt, (self.get_bytes(), self.content_type)


def _rebuilt(data: bytes, content_type: str | None) -> DataInstance:
    return DataInstance(data, content_type=content_type)


def _remove_file(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108
    except OSError:
        pass  # its folder went before it
