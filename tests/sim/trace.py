"""What happened, as a hash that says whether two runs were the same, and as text for a person."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from rain.core.spec import TaskSpec

_TYPECODES = {
    "size": "Q",
    "source_size": "Q",
    "constant_size": "Q",
    "inline": "B",
    "source_inline": "B",
    "constant_inline": "B",
    "states": "B",
    "constant_type": "H",
}
_BYTES = {"data", "args", "source_data", "constant_data"}


class Trace:
    """All events and effects of a run."""

    def __init__(self, *, loud: bool) -> None:
        self._hash = blake2b(digest_size=8)
        self._loud = loud
        self.n_events = 0

    def add(self, now: float, actor: str, what: object) -> None:
        """Something happened to somebody, or was ordered by it."""
        self.n_events += 1
        self._hash.update(f"{now:.9f} {actor} {type(what).__name__}".encode())
        self._hash.update(msgspec.msgpack.encode(what, enc_hook=list))
        if self._loud:
            print(f"{now:10.5f} {actor:7} {describe(what)}")

    @property
    def digest(self) -> str:
        """Equal for equal runs."""
        return self._hash.hexdigest()


def describe(what: object, field: str = "") -> str:
    """Events and effects in a line, columns as numbers."""
    if isinstance(what, memoryview):
        if field in _BYTES:
            return f"<{len(what)} bytes>"
        return str(list(what.cast(_TYPECODES.get(field, "I"))) if len(what) else [])
    if isinstance(what, TaskSpec):
        return what.name or what.kind
    if isinstance(what, msgspec.Struct):
        values = ((name, getattr(what, name)) for name in what.__struct_fields__)
        parts = [f"{name}={describe(value, name)}" for name, value in values if not _is_empty(value)]
        return f"{type(what).__name__}({', '.join(parts)})"
    if isinstance(what, tuple):
        return "(" + ", ".join(describe(each) for each in what) + ")"
    return what if isinstance(what, str) else repr(list(what) if hasattr(what, "typecode") else what)


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, tuple | memoryview | str | bytes) and not len(value))
