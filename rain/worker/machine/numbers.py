"""Tables by number in which neighbours are cheap: whole ranges come and go at the cost of a few.

Tasks and objects are numbered in the order in which they are made, so those that travel together are neighbours. Both
tables are made of pages, so a lone number costs a page and not the way to it, and each operation on a range is a few
operations on slices.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator
from typing import Any, Generic, TypeVar

from rain.protocol.columns import counting

T = TypeVar("T")

_SHIFT = 10
_PAGE = 1 << _SHIFT
_MASK = _PAGE - 1
_EMPTY_PAGE: list[Any] = [None] * _PAGE


class NumberSet:
    """A set of numbers from 0 on; one byte each."""

    __slots__ = ("_pages",)

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}

    def __contains__(self, number: int) -> bool:
        page = self._pages.get(number >> _SHIFT)
        return page is not None and page[number & _MASK] == 1

    def __bool__(self) -> bool:
        return bool(self._pages)

    def __iter__(self) -> Iterator[int]:
        """All numbers, ascending."""
        for first, count in self.stretches():
            yield from range(first, first + count)

    def stretches(self) -> Iterator[tuple[int, int]]:
        """All numbers, ascending, as (first, count) of neighbours."""
        for index in sorted(self._pages):
            page = self._pages[index]
            start = page.find(1)
            while start >= 0:
                stop = page.find(0, start)
                stop = _PAGE if stop < 0 else stop
                yield (index << _SHIFT) + start, stop - start
                start = page.find(1, stop)

    def add(self, first: int, count: int = 1) -> None:
        """These numbers are in the set from now on."""
        pages = self._pages
        if count == 1 and (page := pages.get(first >> _SHIFT)) is not None:
            page[first & _MASK] = 1
            return
        for index, start, stop in _slices(first, count):
            page = pages.get(index)
            if page is None:
                page = pages[index] = bytearray(_PAGE)
            page[start:stop] = b"\1" * (stop - start)

    def discard(self, first: int, count: int = 1) -> None:
        """These numbers are in the set no more."""
        pages = self._pages
        if count == 1:
            page = pages.get(first >> _SHIFT)
            if page is not None:
                page[first & _MASK] = 0
                if page.find(1) < 0:
                    del pages[first >> _SHIFT]
            return
        for index, start, stop in _slices(first, count):
            page = pages.get(index)
            if page is not None:
                page[start:stop] = bytes(stop - start)
                if page.find(1) < 0:
                    del pages[index]

    def has_all(self, first: int, count: int) -> bool:
        """Whether each of these is in the set."""
        for index, start, stop in _slices(first, count):
            page = self._pages.get(index)
            if page is None or page.find(0, start, stop) >= 0:
                return False
        return True

    def any_of(self, first: int, count: int) -> bool:
        """Whether one of these is in the set."""
        for index, start, stop in _slices(first, count):
            page = self._pages.get(index)
            if page is not None and page.find(1, start, stop) >= 0:
                return True
        return False


class NumberMap(Generic[T]):
    """Numbers from 0 on to values, of which one often stands for many neighbours."""

    __slots__ = ("_pages", "_used")

    def __init__(self) -> None:
        self._pages: dict[int, list[T | None]] = {}
        #: How many of each page have a value.
        self._used: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._pages)

    def __iter__(self) -> Iterator[int]:
        """All numbers that have a value, ascending."""
        for index in sorted(self._pages):
            page, start = self._pages[index], index << _SHIFT
            yield from (start + offset for offset in range(_PAGE) if page[offset] is not None)

    def get(self, number: int) -> T | None:
        """The value of a number, None where it has none."""
        page = self._pages.get(number >> _SHIFT)
        return None if page is None else page[number & _MASK]

    def set(self, first: int, value: T, count: int = 1) -> None:
        """Gives the value to all of these."""
        pages, used = self._pages, self._used
        if count == 1 and (page := pages.get(first >> _SHIFT)) is not None:
            used[first >> _SHIFT] += page[first & _MASK] is None
            page[first & _MASK] = value
            return
        for index, start, stop in _slices(first, count):
            page = pages.get(index)
            if page is None:
                page = pages[index] = [None] * _PAGE
                used[index] = 0
            used[index] += page[start:stop].count(None)
            page[start:stop] = [value] * (stop - start)

    def discard(self, first: int, count: int = 1) -> None:
        """These have no value from now on."""
        pages, used = self._pages, self._used
        if count == 1:
            index, place = first >> _SHIFT, first & _MASK
            page = pages.get(index)
            if page is not None and page[place] is not None:
                page[place] = None
                used[index] -= 1
                if not used[index]:
                    del pages[index], used[index]
            return
        for index, start, stop in _slices(first, count):
            page = pages.get(index)
            if page is None:
                continue
            size = stop - start
            used[index] -= size - page[start:stop].count(None)
            if used[index]:
                page[start:stop] = [None] * size
            else:
                del pages[index], used[index]

    def pop(self, number: int) -> T | None:
        """Takes the value of a number away; None where it has none."""
        value = self.get(number)
        if value is not None:
            self.discard(number)
        return value

    def stretches(self, first: int, count: int) -> Iterator[tuple[int, int, T]]:
        """Those of these numbers that have values, as (first, count, value) of neighbours with the same one."""
        found, length = first, 0
        value: T | None = None
        for index, start, stop in _slices(first, count):
            page = self._pages.get(index, _EMPTY_PAGE)
            at = start
            while at < stop:
                end = _end_of(page, at, stop)
                if page[at] is value:
                    length += end - at
                else:
                    if value is not None:
                        yield found, length, value
                    value, found, length = page[at], (index << _SHIFT) + at, end - at
                at = end
        if value is not None:
            yield found, length, value

    def any_of(self, first: int, count: int) -> bool:
        """Whether one of these has a value."""
        for index, start, stop in _slices(first, count):
            page = self._pages.get(index)
            if page is not None and page[start:stop].count(None) != stop - start:
                return True
        return False


def among(numbers: Collection[int], first: int, count: int) -> list[int]:
    """Which of these are among the `count` from `first` on; looks at the fewer of both."""
    if not numbers:
        return []
    wanted = range(first, first + count)
    if len(numbers) < count:
        return [number for number in numbers if number in wanted]
    return [number for number in wanted if number in numbers]


def neighbours(numbers: array[int]) -> Iterator[tuple[int, int]]:
    """Stretches of numbers in which each is one more than the one before it, as (first, count), in order."""
    start, end = 0, len(numbers)
    while start < end:
        stop = steady_end(numbers, start, end, 1)
        yield numbers[start], stop - start
        start = stop


def steady_end(numbers: array[int], start: int, end: int, step: int) -> int:
    """Where the stretch from `start` on ends in which each u32 is `step` more than the one before; at most `end`."""
    zero = numbers[start] - step * start
    if start + 1 < end and numbers[start + 1] != numbers[start] + step:
        return start + 1  # as in lists without order
    # The last one that is in its place, if all before it are.
    low, high = start, end - 1
    if numbers[high] == zero + step * high:
        low = high
    while high - low > 1:
        middle = (low + high) // 2
        if numbers[middle] == zero + step * middle:
            low = middle
        else:
            high = middle
    if _is_steady(numbers, start, low + 1, step):
        return low + 1
    # It is there by chance.
    middle = (start + low + 1) // 2
    found = steady_end(numbers, start, middle, step)
    return found if found < middle else steady_end(numbers, middle - 1, low, step)


def _is_steady(numbers: array[int], start: int, stop: int, step: int) -> bool:
    first, count = numbers[start], stop - start
    if not step:
        return numbers[start:stop] == array(numbers.typecode, (first,)) * count
    try:
        expected = counting(first, count) if step == 1 else array("I", range(first, first + step * count, step))
    except OverflowError:
        return False  # no column goes on like that
    return numbers[start:stop] == expected


def _slices(first: int, count: int) -> list[tuple[int, int, int]]:
    """The pages that these numbers lie on, with where on each."""
    index, start = first >> _SHIFT, first & _MASK
    if start + count <= _PAGE:
        return [(index, start, start + count)] if count else []
    found = [(index, start, _PAGE)]
    count -= _PAGE - start
    while count > _PAGE:
        index += 1
        found.append((index, 0, _PAGE))
        count -= _PAGE
    found.append((index + 1, 0, count))
    return found


def _end_of(page: list[T | None], start: int, stop: int) -> int:
    """Up to where the value at `start` stands, without a gap, on the page."""
    value = page[start]
    if page[start:stop].count(value) == stop - start:
        return stop
    end = start + 1
    while end < stop and page[end] is value:
        end += 1
    return end
