"""Inputs that come inside a `Compute`: taken out of its columns before the machine hears of them."""

from __future__ import annotations

from rain.core.errors import ProtocolViolation
from rain.protocol.columns import unpack
from rain.protocol.worker import Compute
from rain.worker.store import ObjectStore


def store_inline_sources(message: Compute, store: ObjectStore) -> None:
    """Puts the inline sources of the message into the store. Raises ProtocolViolation, with nothing changed."""
    if not len(message.source):
        return
    objects = unpack("I", message.source, "source")
    n_rows = len(objects)
    inline = unpack("B", message.source_inline, "source_inline", n_rows)
    sizes = unpack("Q", message.source_size, "source_size", n_rows)
    types = message.source_types or (None,) * n_rows
    if len(types) != n_rows:
        raise ProtocolViolation(f"source_types: expected {n_rows} rows, found {len(types)}")
    rows = [(obj, size, name) for obj, size, name, here in zip(objects, sizes, types, inline, strict=True) if here]
    data = message.source_data
    found = sum(size for _, size, _ in rows)
    if found != len(data):
        raise ProtocolViolation(f"source_data: sizes add up to {found}, but there are {len(data)} bytes")
    start = 0
    for obj, size, content_type in rows:
        store.put_bytes(message.session, obj, bytes(data[start : start + size]), content_type)
        start += size
