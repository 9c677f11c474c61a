"""A data object's value on this machine: what `fetch()` gives and what a Python task receives."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from rain.core.content import DIRECTORY, checked_type, text_encoding
from rain.core.errors import RainException
from rain.data.encode import decode_value
from rain.data.instance_info import InstanceInfo
from rain.data.tree_archive import TreeArchive
from rain.data.tree_files import link_tree
from rain.data.tree_removal import remove_tree
from rain.data.unpack import unpack

#: Longer text is shown by its beginning only; `get_str()` gives all of it.
MAX_SHOWN_BYTES = 16 << 20
_PREVIEW_BYTES = 1 << 10

#: Files up to this size are read, larger ones are mapped.
_MAX_READ_BYTES = 64 << 10


class DataInstance:
    """Immutable bytes with a content type; they are in memory, or in a file that is mapped when it is asked for.

    Equal to `bytes` and `str` of the same content; hashes by identity, so that it stands in a set or as a key of a dict
    where its data object stood. `spec` and `info` are those of the data object where it is known.
    The bytes of a directory are a tar; where it lies here as a folder, that is worked out when it is asked for.
    """

    __slots__ = (
        "__weakref__",
        "_archive",
        "_data",
        "_folder",
        "_info",
        "_number",
        "_path",
        "_size",
        "_spec",
        "content_type",
    )

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
        """From bytes, or from a file that nobody changes; a `temporary` file is removed with the instance.

        `path` of a directory may be a folder.
        """
        if (data is None) == (path is None):
            raise RainException("A DataInstance is made either from data=bytes or from path=a file.")
        if data is not None and type(data) is not bytes:
            raise RainException(_no_bytes(data))
        if path is not None and not isinstance(path, str | os.PathLike):
            raise RainException(f"DataInstance(path=…): expected the path of a file, found {path!r}.")
        self._data: bytes | mmap.mmap | None = data
        self._path = None if path is None else Path(path)
        self.content_type = checked_type(content_type)
        #: Where the files of a directory are; of one that came as a tar, once somebody has asked for it.
        self._folder: Path | None = None
        self._archive: TreeArchive | None = None
        if self.content_type == DIRECTORY and self._path is not None and self._path.is_dir():
            self._folder = self._path
        if data is not None:
            size = len(data)
        elif size is None:
            size = self._tar().size if self._folder is not None else os.stat(self._path).st_size  # type: ignore[arg-type]  # noqa: PTH116
        self._size: int = size
        #: Where there is a number, what makes it of the number when it is asked for.
        self._spec: Any = spec
        self._number: int | None = None
        self._info = info
        if temporary:
            weakref.finalize(self, _remove_file, str(self._path))

    # ------------------------------------------------------------------------------------------ reading

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    @property
    def spec(self) -> Any:
        """What the author of the data object said of it; None where it is not known."""
        if self._number is not None:
            self._spec, self._number = self._spec(self._number), None
        return self._spec

    @property
    def info(self) -> Any:
        """`size`, `content_type` and `user`; the latter goes with an input that is passed on as a result."""
        if self._info is None:
            self._info = InstanceInfo(self._size, self.content_type)
        return self._info

    @property
    def data_type(self) -> str:
        """`blob` or `directory`."""
        return "directory" if self.content_type == DIRECTORY else "blob"

    @property
    def path(self) -> Path | None:
        """The file with the bytes, not to be changed; None where they are in memory only.

        Of a directory the folder, not to be changed either; one that came as a tar is unpacked for as long as the
        instance lives.
        """
        return self._as_folder() if self.content_type == DIRECTORY else self._path

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
        """The value that the bytes encode. Raises RainException without a content type, or where it is not that.

        The value of a directory is the instance itself.
        """
        if self.content_type == DIRECTORY:
            return self
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
        if self._data is None and self._folder is not None and self._path == self._folder:
            self._data = self._tar().read(0, self._size)
        elif self._data is None:
            with self.open() as file:
                # An empty file cannot be mapped.
                if self._size <= _MAX_READ_BYTES:
                    self._data = file.read()
                else:
                    self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return memoryview(self._data)

    def open(self) -> BinaryIO:
        """A binary file to read the bytes from."""
        if self._path is not None and self._path == self._folder:
            return self._tar().open()
        if self._path is not None:
            return self._path.open("rb")
        return io.BytesIO(self.get_bytes())

    # ------------------------------------------------------------------------------------------ files

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the bytes to a file of the caller's own; a directory to a folder, which must not exist yet."""
        if self.content_type == DIRECTORY:
            self._place(Path(path), read_only=False)
        elif self._path is not None:
            shutil.copyfile(self._path, path)
        else:
            Path(path).write_bytes(self.get_bytes())

    def link(self, path: str | os.PathLike[str]) -> None:
        """Makes `path` a read-only link to the stored file; a copy where there is none, or links cannot be made.

        Of a directory it becomes a folder of the caller's own, with such links to the files.
        """
        if self.content_type == DIRECTORY:
            self._place(Path(path), read_only=True)
            return
        if self._path is not None:
            try:
                os.link(self._path, path)
                return
            except FileExistsError:
                raise
            except OSError:
                pass  # another file system, or one without links
        self.write(path)

    # ------------------------------------------------------------------------------------------ directories

    def _place(self, path: Path, *, read_only: bool) -> None:
        if self._folder is not None:
            link_tree(self._folder, path, write=not read_only)
        else:
            unpack(source_of(self), path, read_only=read_only)

    def _as_folder(self) -> Path:
        """The folder of a directory, unpacked now where it came as a tar."""
        if self._folder is None:
            above = tempfile.mkdtemp(prefix="rain-directory-")
            weakref.finalize(self, _remove_folder, above)
            folder = Path(above, "content")
            unpack(source_of(self), folder, read_only=True)
            self._folder = folder
        return self._folder

    def _tar(self) -> TreeArchive:
        if self._archive is None:
            assert self._folder is not None, "only a folder has to be packed"
            self._archive = TreeArchive(self._folder)
        return self._archive

    # ------------------------------------------------------------------------------------------ Python's own

    def __len__(self) -> int:
        return self._size

    def __bool__(self) -> bool:
        return True

    def __bytes__(self) -> bytes:
        return self.get_bytes()

    def __str__(self) -> str:
        if self.content_type == DIRECTORY:
            return repr(self)
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

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **_: Any) -> dict[str, str]:
        """What a notebook shows, by the content type."""
        from rain.data.instance_view import instance_bundle

        return instance_bundle(self)

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

    def __hash__(self) -> int:
        """By identity: sets and dicts tell two instances of the same content apart, as they do the data objects."""
        # Equal to bytes and to str, whose hashes differ from one another, so there is no hash that suits both.
        return object.__hash__(self)

    def __reduce__(self) -> Any:
        return _rebuilt, (self.get_bytes(), self.content_type)


def source_of(instance: DataInstance) -> bytes | Path:
    """What has the content as it came: bytes, a file, or the folder of a directory."""
    if instance._path is not None:
        return instance._path
    assert isinstance(instance._data, bytes), "an instance has bytes or a path"
    return instance._data


def instance_of(data: bytes, content_type: str | None, spec: Callable[[int], Any], number: int) -> DataInstance:
    """What `DataInstance(data, …, spec=spec(number))` makes, where there are many: the type is checked already.

    Objects of Python's own per instance would cost more than the instance, by garbage collections.
    """
    made = DataInstance.__new__(DataInstance)
    made._data = data
    made._path = made._folder = made._archive = made._info = None
    made._size = len(data)
    made._spec = spec
    made._number = number
    made.content_type = content_type
    return made


def _rebuilt(data: bytes, content_type: str | None) -> DataInstance:
    return DataInstance(data, content_type=content_type)


def _remove_file(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108
    except OSError:
        pass  # its folder went before it


def _remove_folder(path: str) -> None:
    with contextlib.suppress(RainException):
        remove_tree(Path(path))


def _no_bytes(data: object) -> str:
    hint = "encode_value(value, type) makes bytes of a value."
    if isinstance(data, str):
        hint = 'text.encode() makes bytes of it, and content_type="text" says what they are.'
    elif isinstance(data, bytearray | memoryview):
        hint = "bytes(…) makes a copy that nobody changes."
    return f"DataInstance(…): expected bytes, found {type(data).__name__}: {hint}"
