"""Small objects of a session in memory: one by one, or a stretch of neighbours as one segment of bytes."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

from rain.protocol.columns import Column

#: A segment of which less than one object in so many is wanted is dissolved.
_SPARSE = 4


class _Segment:
    """The objects `first … first + n - 1`, one after the other."""

    __slots__ = ("data", "first", "gone", "n", "offsets", "wanted")

    def __init__(self, first: int, size: array[int], data: bytes) -> None:
        self.first = first
        self.n = len(size)
        self.offsets = array("I", accumulate(size, initial=0))
        self.data = data
        #: Objects that were not dropped; those that were are marked as soon as there are any.
        self.wanted = self.n
        self.gone: bytearray | None = None

    def get(self, obj: int) -> bytes | None:
        """The bytes of an object."""
        at = obj - self.first
        if self.gone is not None and self.gone[at]:
            return None
        return self.data[self.offsets[at] : self.offsets[at + 1]]

    def run_length(self, objects: array[int], row: int) -> int:
        """How many of the objects from this row on, which is here, follow one another here; perhaps more do."""
        n = min(len(objects) - row, self.first + self.n - objects[row])
        if self.gone is None and objects[row : row + n] == array("I", range(objects[row], objects[row] + n)):
            return n
        return 1

    def drop(self, obj: int) -> None:
        """Forgets an object; its bytes go with the last one."""
        if self.gone is None:
            self.gone = bytearray(self.n)
        if not self.gone[obj - self.first]:
            self.gone[obj - self.first] = 1
            self.wanted -= 1


class SmallObjects:
    """Inline constants and small results; no Python object for one that came in a stretch."""

    __slots__ = ("_firsts", "_segments", "_single", "n_bytes", "resident_bytes")

    def __init__(self) -> None:
        #: Bytes of their own, or views of what is in a file.
        self._single: dict[int, bytes | memoryview] = {}
        #: In the order of their objects, beside the number of each one's first object.
        self._segments: list[_Segment] = []
        self._firsts: list[int] = []
        #: What all this takes; of a segment dropped objects, too.
        self.n_bytes = 0
        #: Of these, what is in memory.
        self.resident_bytes = 0

    def put(
        self,
        objects: array[int],
        start: Iterable[int],
        size: array[int],
        data: Column,
        *,
        mapped: Column | None = None,
    ) -> None:
        """Copies objects out of `data`; one that is here already is replaced.

        `mapped`: the data once more, in a file; with it nothing is copied.
        """
        views = None if mapped is None else memoryview(mapped)
        for obj, at, length in zip(objects, start, size, strict=True):
            self._put(obj, bytes(data[at : at + length]) if views is None else views[at : at + length])

    def put_stretch(self, first: int, size: array[int], data: Column) -> None:
        """Copies neighbouring objects, from `first` on, out of `data`."""
        place = bisect_right(self._firsts, first)
        stop = first + len(size)
        meets_left = place > 0 and self._firsts[place - 1] + self._segments[place - 1].n > first
        if meets_left or (place < len(self._firsts) and self._firsts[place] < stop):
            offsets = accumulate(size, initial=0)
            for obj, at, length in zip(range(first, stop), offsets, size, strict=False):
                self._put(obj, bytes(data[at : at + length]))
            return
        for obj in self._single.keys() & range(first, stop) if self._single else ():
            self.drop(obj)
        self._segments.insert(place, _Segment(first, size, bytes(data)))
        self._firsts.insert(place, first)
        self.n_bytes += len(data)
        self.resident_bytes += len(data)

    def get(self, obj: int) -> bytes | None:
        """The bytes of an object; None where it is not here."""
        data = self._single.get(obj)
        if data is None and self._segments:
            segment = self._segment(obj)
            return None if segment is None else segment.get(obj)
        return bytes(data) if isinstance(data, memoryview) else data

    def parts(self, objects: array[int]) -> list[bytes]:
        """The bytes of these objects, in order, neighbours of one segment joined. Raises KeyError for one not here."""
        found: list[bytes] = []
        row = 0
        while row < len(objects):
            obj = objects[row]
            data = self._single.get(obj)
            if data is not None:
                found.append(bytes(data))
                row += 1
                continue
            segment = self._segment(obj)
            if segment is None:
                raise KeyError(obj)
            n = segment.run_length(objects, row)
            if n == 1 and (segment.gone is not None and segment.gone[obj - segment.first]):
                raise KeyError(obj)
            start = obj - segment.first
            found.append(segment.data[segment.offsets[start] : segment.offsets[start + n]])
            row += n
        return found

    def drop(self, obj: int) -> None:
        """Forgets an object; one that is not here is fine."""
        data = self._single.pop(obj, None)
        if data is not None:
            self.n_bytes -= len(data)
            self.resident_bytes -= len(data) if isinstance(data, bytes) else 0
            return
        segment = self._segment(obj) if self._segments else None
        if segment is None:
            return
        segment.drop(obj)
        if segment.wanted * _SPARSE < segment.n:
            self._dissolve(segment)

    def _put(self, obj: int, data: bytes | memoryview) -> None:
        self.drop(obj)
        self._single[obj] = data
        self.n_bytes += len(data)
        self.resident_bytes += len(data) if isinstance(data, bytes) else 0

    def _dissolve(self, segment: _Segment) -> None:
        """Keeps what is wanted of a segment one by one."""
        place = bisect_right(self._firsts, segment.first) - 1
        del self._segments[place], self._firsts[place]
        self.n_bytes -= len(segment.data)
        self.resident_bytes -= len(segment.data)
        for obj in range(segment.first, segment.first + segment.n):
            data = segment.get(obj)
            if data is not None:
                self._put(obj, data)

    def _segment(self, obj: int) -> _Segment | None:
        place = bisect_right(self._firsts, obj) - 1
        if place < 0 or obj >= self._firsts[place] + self._segments[place].n:
            return None
        return self._segments[place]
