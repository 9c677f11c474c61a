"""How a data object's value looks in a notebook, by its content type; what is too large to be shown is described."""

from __future__ import annotations

import base64
import json
import tarfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rain.core.content import DIRECTORY, text_encoding
from rain.core.markup import MAX_SHOWN, Content, Markup, card, code, cut, joined, quiet, size_text, table

if TYPE_CHECKING:
    from rain.data.instance import DataInstance

#: Images up to this size stand in the page itself.
MAX_IMAGE_BYTES = 8 << 20
#: Values up to this size are decoded to be shown.
MAX_DECODED_BYTES = 4 << 20
_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"})
_VALUES = frozenset({"pickle", "cloudpickle", "cbor", "arrow", "npy"})
_MAX_ENTRIES = 20
_HEX_BYTES = 128


def instance_bundle(instance: DataInstance) -> dict[str, str]:
    """MIME type → what is shown; an image also as itself, for those who save or convert a notebook."""
    bundle = {"text/plain": repr(instance)}
    kind = _mime_type(instance)
    if kind in ("image/png", "image/jpeg") and instance.size <= MAX_IMAGE_BYTES:
        return bundle | {kind: base64.b64encode(instance.view()).decode()}
    try:
        bundle["text/html"] = card(quiet(_head(instance)), preview(instance))
    except Exception:  # the bytes may be anything, and the value's own code too
        bundle["text/html"] = card(_head(instance))
    return bundle


def preview(instance: DataInstance) -> Content:
    """The value, as far as it can be shown."""
    kind, content_type = _mime_type(instance), instance.content_type
    if kind in _IMAGES:
        return _image(instance, kind)
    if content_type == DIRECTORY:
        return _directory(instance)
    encoding = text_encoding(content_type) or ("utf-8" if kind.startswith("text/") else None)
    if encoding is not None:
        return _text(instance, encoding)
    if content_type == "json" and instance.size <= MAX_DECODED_BYTES:
        return code(cut(json.dumps(instance.load(), indent=2, ensure_ascii=False)))
    # Of an array in a file only the pages that are looked at are read.
    if content_type == "npy" or (content_type in _VALUES and instance.size <= MAX_DECODED_BYTES):
        return value_view(instance.load())
    return "" if content_type in _VALUES else _bytes(instance)


def value_view(value: Any) -> Content:
    """A Python value: its own HTML where it has some, shape and type of an array, else its `repr`."""
    own = getattr(type(value), "_repr_html_", None)
    if own is not None:
        found = own(value)
        if isinstance(found, str):
            return Markup(found)
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if isinstance(shape, tuple) and dtype is not None:
        sizes = " × ".join(map(str, shape)) or "a single number"
        described = f"{type(value).__name__}, {sizes}, {dtype}"
        return card(described, code(cut(repr(value))))
    return code(cut(repr(value)))


def _head(instance: DataInstance) -> str:
    return ", ".join(filter(None, ("DataInstance", size_text(instance.size), instance.content_type)))


def _mime_type(instance: DataInstance) -> str:
    content_type = instance.content_type or ""
    return content_type.removeprefix("mime/") if content_type.startswith("mime/") else ""


def _image(instance: DataInstance, kind: str) -> Content:
    if instance.size > MAX_IMAGE_BYTES:
        return f"an image of {size_text(instance.size)}: `write(path)` makes a file of it"
    data = base64.b64encode(instance.view()).decode()
    return Markup(f'<img style="max-width:100%" src="data:{kind};base64,{data}">')


def _text(instance: DataInstance, encoding: str) -> Content:
    # A character has four bytes at most.
    with instance.open() as file:
        beginning = file.read(4 * MAX_SHOWN).decode(encoding, errors="replace")
    shown = code(beginning[:MAX_SHOWN])
    if instance.size <= 4 * MAX_SHOWN and len(beginning) <= MAX_SHOWN:
        return shown
    return joined(shown, quiet(f"… the beginning of {size_text(instance.size)}"))


def _bytes(instance: DataInstance) -> Content:
    with instance.open() as file:
        beginning = file.read(MAX_SHOWN)
    try:
        text = beginning.decode()
    except UnicodeDecodeError:
        text = ""
    if text and (text.isprintable() or all(each.isprintable() or each.isspace() for each in text)):
        return _text(instance, "utf-8")
    more = " …" if instance.size > _HEX_BYTES else ""
    return code(beginning[:_HEX_BYTES].hex(" ") + more) if beginning else ""


def _directory(instance: DataInstance) -> Content:
    if instance._folder is not None:
        entries = sorted(islice(instance._folder.iterdir(), 10 * _MAX_ENTRIES))
        rows = [(each.name + "/" * each.is_dir(), "" if each.is_dir() else _file_size(each)) for each in entries]
    else:
        with instance.open() as file, tarfile.open(fileobj=file, mode="r:") as tar:
            members = list(islice(tar, _MAX_ENTRIES + 1))
        rows = [(each.name + "/" * each.isdir(), "" if each.isdir() else size_text(each.size)) for each in members]
    shown = table(("name", "size"), rows[:_MAX_ENTRIES])
    return joined(shown, quiet("… and more")) if len(rows) > _MAX_ENTRIES else shown


def _file_size(path: Path) -> str:
    return size_text(path.lstat().st_size)
