"""What is said about directories when tasks on them are made: paths, and which object may stand where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rain.client.objects import DataObject, to_dataobj
from rain.client.options import check_unicode
from rain.core.content import DIRECTORY
from rain.core.errors import RainException
from rain.data.tree_names import checked_parts


def checked_rows(parts: Any) -> list[tuple[str, DataObject]]:
    """Path and object of each part of a new directory, in the order given.

    Raises RainException for paths that occur twice, lie below a file, lead out of the directory, or ask for another
    kind of object.
    """
    if isinstance(parts, str | bytes) or not isinstance(parts, Iterable):
        raise RainException(f"MakeDirectory: expected (path, object) pairs or a dict of them, found {parts!r}")
    items: list[Any] = list(parts.items()) if isinstance(parts, Mapping) else list(parts)
    rows = []
    #: By normal path: the path as given, and whether it is a file; folders that are only on the way are not here.
    taken: dict[str, tuple[str, bool]] = {}
    for item in items:
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise RainException(f"MakeDirectory: expected (path, object) pairs, found {item!r}")
        path, value = item
        parts_of_path = checked_part(path, "MakeDirectory")
        obj = to_dataobj(value)
        _check_kind(path, obj)
        normal = "/".join(parts_of_path)
        if normal in taken:
            raise RainException(f"MakeDirectory: two objects have the path {path!r}; paths are unique")
        taken[normal] = (path, not path.endswith("/"))
        rows.append((path, obj))
    for path, _ in rows:
        _check_above(path, taken)
    return rows


def checked_part(path: object, what: str) -> list[str]:
    """The names in the path of a file, or with a slash at the end of a folder, in a directory. Raises RainException."""
    if not isinstance(path, str):
        raise RainException(f"{what}: expected a path in the directory as text, found {path!r}")
    check_unicode(path, what)
    try:
        found = checked_parts(path)
    except RainException as error:
        raise RainException(f"{what}: {error}") from None
    if not found and not path.endswith("/"):
        raise RainException(f"{what}: {path!r} names no file; './' is the directory itself")
    return found


def checked_directory(value: Any, what: str) -> DataObject:
    """The object that a value stands for. Raises RainException where it is known to be no directory."""
    obj = to_dataobj(value)
    if obj.content_type != DIRECTORY and (obj.content_type is not None or obj._is_here):
        raise RainException(f"{what}: {obj._described()} is a blob, and a directory is needed")
    return obj


def checked_blob(value: Any, what: str) -> DataObject:
    """The object that a value stands for. Raises RainException where it is known to be a directory."""
    obj = to_dataobj(value)
    if obj.content_type == DIRECTORY:
        raise RainException(
            f"{what}: {obj._described()} is a directory, and a blob is needed; SliceDirectory takes a file out of one"
        )
    return obj


def _check_kind(path: str, obj: DataObject) -> None:
    if path.endswith("/"):
        checked_directory(obj, f"MakeDirectory, {path!r}")
    elif obj.content_type == DIRECTORY:
        raise RainException(
            f"MakeDirectory: {obj._described()} is a directory; as a subdirectory its path is {path + '/'!r}"
        )


def _check_above(path: str, taken: Mapping[str, tuple[str, bool]]) -> None:
    names = checked_parts(path)
    for length in range(1, len(names)):
        other = taken.get("/".join(names[:length]))
        if other is not None and other[1]:
            raise RainException(f"MakeDirectory: {path!r} lies below {other[0]!r}, which is a file")
