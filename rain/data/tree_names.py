"""Which names and paths a tree may have, and how large it may be; the same on disk and in archives."""

from __future__ import annotations

import os
import unicodedata

import msgspec

from rain.core.errors import RainException

#: The same as Linux's own limit.
_MAX_NAME_BYTES = 255


class TreeLimits(msgspec.Struct, frozen=True):
    """How large a tree may be; one beyond that is refused."""

    #: Files and folders below the root.
    max_members: int = 1_000_000
    #: Bytes of all files.
    max_bytes: int = 1 << 40
    #: Bytes of a path relative to the root; what is left of Linux's 4096 is for the path of the root.
    max_path_bytes: int = 2048
    #: Folders in one another; each costs an open file while a tree is walked.
    max_depth: int = 128


DEFAULT_LIMITS = TreeLimits()


def check_name(name: str, path: str) -> None:
    """Raises RainException where a tree may have no member of this name; `path` is what the error shows."""
    if name.isascii():
        size = len(name)
    else:
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            raise RainException(f"{path!r}: the name is not UTF-8; rename it.") from None
        if not unicodedata.is_normalized("NFC", name):
            raise RainException(
                f"{path!r}: the name is not in Unicode's composed form (NFC), so a name that looks the same would be "
                f"another file; rename it to {unicodedata.normalize('NFC', name)!r}."
            )
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise RainException(f"{path!r}: {name!r} is no name of a file.")
    if size > _MAX_NAME_BYTES:
        raise RainException(f"{path!r}: a name has at most {_MAX_NAME_BYTES} bytes, this one has {size}.")


def checked_parts(path: str, limits: TreeLimits = DEFAULT_LIMITS) -> list[str]:
    """The names in a relative path, "." and doubled slashes left out; none for the root itself.

    Raises RainException where it is absolute, leads upwards, is too long or too deep, or a name is not allowed.
    """
    if path.startswith("/"):
        raise RainException(f"{path!r} is an absolute path; one relative to the directory is needed.")
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise RainException(f"{path!r} leads upwards; a path inside the directory, without '..', is needed.")
    for part in parts:
        check_name(part, path)
    check_path("/".join(parts), len(parts), limits)
    return parts


def check_path(path: str, depth: int, limits: TreeLimits) -> None:
    """Raises RainException where a member lies too deep or its path is too long."""
    shown = path if len(path) <= 100 else f"{path[:100]}…"
    if depth > limits.max_depth:
        raise RainException(f"{shown!r}: folders may be nested {limits.max_depth} deep, this one is deeper.")
    # No character has more than four bytes.
    if len(path) * 4 > limits.max_path_bytes and len(os.fsencode(path)) > limits.max_path_bytes:
        raise RainException(f"{shown!r}: a path in a directory has at most {limits.max_path_bytes} bytes.")
