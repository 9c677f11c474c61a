"""A set of numbers that lie close together, to be compared with a column of bytes at the speed of memory."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import compress


class Marked:
    """A byte for each number between the lowest and the highest, 1 for those that are in the set."""

    __slots__ = ("_count", "_first", "_marks")

    def __init__(self, numbers: Sequence[int]) -> None:
        self._first = min(numbers, default=0)
        self._marks = bytearray(max(numbers, default=-1) + 1 - self._first)
        for number in numbers:
            self._marks[number - self._first] = 1
        self._count = self._marks.count(1)

    def __len__(self) -> int:
        return self._count

    def numbers(self) -> array[int]:
        """All, ascending."""
        return array("I", compress(range(self._first, self._first + len(self._marks)), self._marks))

    def discard(self, number: int) -> None:
        """Takes a number out, where it is in."""
        place = number - self._first
        if 0 <= place < len(self._marks) and self._marks[place]:
            self._marks[place] = 0
            self._count -= 1

    def first_where(self, column: bytearray, table: bytes) -> int | None:
        """The lowest number n for which `table[column[n]]` is 1; None where there is none."""
        place = self._where(column, table).find(1)
        return None if place < 0 else self._first + place

    def take_where(self, column: bytearray, table: bytes) -> array[int]:
        """Takes out the numbers n for which `table[column[n]]` is 1; returns them, ascending."""
        found = self._where(column, table)
        taken = array("I")
        place = found.find(1)
        while place >= 0:
            taken.append(self._first + place)
            self._marks[place] = 0
            place = found.find(1, place + 1)
        self._count -= len(taken)
        return taken

    def _where(self, column: bytearray, table: bytes) -> bytes:
        """1 for each number of the set for which that holds; both sides are taken as one large number each."""
        n = len(self._marks)
        span = column[self._first : self._first + n].translate(table)
        return (int.from_bytes(self._marks, "little") & int.from_bytes(span, "little")).to_bytes(n, "little")
