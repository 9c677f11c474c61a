"""Small results of neighbouring tasks as one piece of memory: nothing is made per object until somebody asks for it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import accumulate

from rain.worker.machine.numbers import NumberMap
from rain.worker.spill import Spilled

#: A segment of which less than one object in so many is still held is not worth its bytes.
_SPARSE = 8


class Segment:
    """The bytes of objects that are numbered on from `first`, one after the other, in memory or in a file.

    `key` stands for it where objects are named by number: it is negative, and never used again in the session.
    """

    __slots__ = ("_offsets", "_sizes", "content_type", "data", "first", "is_dissolving", "key", "n_bytes", "n_held")

    def __init__(self, key: int, first: int, sizes: array[int], data: bytes, content_type: str | None) -> None:
        self.key = key
        self.first = first
        self.content_type = content_type
        self.data: bytes | Spilled = data
        self.n_bytes = len(data)
        #: How many of them are still objects of the store.
        self.n_held = len(sizes)
        #: The rest is being stored one by one.
        self.is_dissolving = False
        self._sizes = sizes
        self._offsets: array[int] | None = None

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def is_to_dissolve(self) -> bool:
        """Most of it is not wanted any more, so the rest is to be stored one by one."""
        return 0 < self.n_held * _SPARSE < len(self) and not self.is_dissolving

    def size(self, obj: int) -> int:
        """Bytes of one of them."""
        return self._sizes[obj - self.first]

    def read(self, first: int, count: int) -> bytes | memoryview | None:
        """The bytes of some neighbours; None where they are gone."""
        start, stop = 0, self.n_bytes
        if count < len(self):
            if self._offsets is None:
                self._offsets = array("Q", accumulate(self._sizes, initial=0))
            start = self._offsets[first - self.first]
            stop = self._offsets[first - self.first + count]
        if isinstance(self.data, Spilled):
            return self.data.read(start, stop - start)
        return self.data if stop - start == self.n_bytes else memoryview(self.data)[start:stop]


class Segments:
    """The segments of one session."""

    __slots__ = ("_by_key", "_by_object", "_n_made")

    def __init__(self) -> None:
        self._by_object: NumberMap[Segment] = NumberMap()
        self._by_key: dict[int, Segment] = {}
        self._n_made = 0

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._by_key.values())

    def put(self, first: int, sizes: array[int], data: bytes, content_type: str | None) -> Segment:
        """Takes new objects; those of these numbers must not be here."""
        self._n_made += 1
        segment = Segment(-self._n_made, first, sizes, data, content_type)
        self._by_key[segment.key] = segment
        self._by_object.set(first, segment, len(segment))
        return segment

    def get(self, obj: int) -> Segment | None:
        """Where the object is; None when it is not here."""
        return self._by_object.get(obj)

    def by_key(self, key: int) -> Segment | None:
        """The segment of this key."""
        return self._by_key.get(key)

    def stretches(self, first: int, count: int) -> Iterator[tuple[int, int, Segment]]:
        """Which of these objects are here, as (first, count) of neighbours in one segment."""
        return self._by_object.stretches(first, count)

    def held(self, segment: Segment) -> list[int]:
        """Objects that are still in the segment."""
        found = self._by_object.stretches(segment.first, len(segment))
        return [obj for first, count, each in found if each is segment for obj in range(first, first + count)]

    def discard(self, first: int, count: int) -> list[tuple[int, Segment]]:
        """Removes objects; how many of which segments. Of those that hold nothing any more nothing is left here."""
        found = [(length, segment) for _, length, segment in self._by_object.stretches(first, count)]
        if not found:
            return found
        self._by_object.discard(first, count)
        for length, segment in found:
            segment.n_held -= length
            if not segment.n_held:
                del self._by_key[segment.key]
        return found
