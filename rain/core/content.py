"""Content types: what the bytes of a data object mean.

An object has a planned type (in the graph) and the type that its task set; the latter wins and must be a subtype of the
first. Types form a tree by their names: `text-latin1` is a `text`, `user/image/raw` is a `user/image`, and everything
is a kind of raw bytes (None). How a value becomes bytes of a type is `rain.data.encode`'s business.
"""

from __future__ import annotations

import codecs

from rain.core.errors import RainException

#: A folder; its bytes are a tar.
DIRECTORY = "dir"

#: The types without parameters.
PLAIN_TYPES = frozenset({"text", "json", "pickle", "cloudpickle", "cbor", "arrow", "npy", DIRECTORY, "protobuf"})

#: Prefixes of families whose members are named freely.
FREE_FAMILIES = ("mime/", "user/")


def checked_type(name: str | None) -> str | None:
    """The type in its one spelling: None for raw bytes, else the name itself. Raises RainException if it is unknown."""
    if name is None or name == "":
        return None
    if not isinstance(name, str):
        raise RainException(f"A content type is a name such as 'text' or None, not {name!r} ({type(name).__name__}).")
    if name in PLAIN_TYPES or (name.startswith(FREE_FAMILIES) and not name.endswith("/")):
        return name
    if name.startswith("text-") and _is_text_encoding(name[5:]):
        return name
    raise RainException(
        f"Unknown content type {name!r}. Known are None (raw bytes), {', '.join(sorted(PLAIN_TYPES))}, "
        "text-ENCODING such as 'text-latin1', and names of your own below 'user/' and 'mime/'."
    )


def text_encoding(content_type: str | None) -> str | None:
    """The encoding of a text type: UTF-8 for `text`; None for types that are no text."""
    if content_type == "text":
        return "utf-8"
    if content_type is not None and content_type.startswith("text-"):
        return content_type[5:]
    return None


def is_subtype(narrow: str | None, wide: str | None) -> bool:
    """Whether every object of type `narrow` is one of type `wide`; both in the spelling of `checked_type`."""
    if wide is None or narrow == wide:
        return True
    if narrow is None:
        return False
    return narrow.startswith((wide + "-", wide + "/")) if wide == "text" or "/" in wide else False


def settled_type(planned: str | None, found: str | None) -> str | None:
    """The type of an object that was planned as one type and made as another.

    Bytes without a type are taken as what was planned. Raises RainException where the two contradict.
    """
    if found is None:
        return planned
    if is_subtype(found, planned):
        return found
    raise RainException(f"content type {found!r} is no subtype of {planned!r}, which was planned")


def _is_text_encoding(name: str) -> bool:
    try:
        info = codecs.lookup(name)
    except (LookupError, ValueError):
        return False
    # Python's registry also has codecs from bytes to bytes, such as "zip".
    return bool(getattr(info, "_is_text_encoding", True))
