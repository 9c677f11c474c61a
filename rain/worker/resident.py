"""Which small objects are in memory, and which of them are to make room: those that came first."""

from __future__ import annotations

from collections import OrderedDict

#: By session and number.
Key = tuple[int, int]


class Resident:
    """Objects in memory in the order in which they came, and how much they may come to."""

    __slots__ = ("_sizes", "limit_bytes", "n_bytes")

    def __init__(self, limit_bytes: int | None) -> None:
        self._sizes: OrderedDict[Key, int] = OrderedDict()
        #: None: no limit.
        self.limit_bytes = limit_bytes
        self.n_bytes = 0

    @property
    def is_over(self) -> bool:
        """More is here than may be."""
        return self.limit_bytes is not None and self.n_bytes > self.limit_bytes

    def add(self, key: Key, size: int) -> None:
        """An object came, which was not here."""
        self._sizes[key] = size
        self.n_bytes += size

    def drop(self, key: Key) -> None:
        """An object went; one that was not here is fine."""
        self.n_bytes -= self._sizes.pop(key, 0)

    def take_oldest(self, n_bytes: int) -> list[Key]:
        """Takes those that came first out, until they come to so much, or nothing is left."""
        taken = []
        while self._sizes and n_bytes > 0:
            key, size = self._sizes.popitem(last=False)
            self.n_bytes -= size
            n_bytes -= size
            taken.append(key)
        return taken
