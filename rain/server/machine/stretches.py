"""Stretches: rows of neighbouring numbers, which are handled as slices of columns instead of one by one."""

from __future__ import annotations

from array import array
from itertools import pairwise

from rain.protocol.columns import counting


def is_stretch(numbers: array[int]) -> bool:
    """Whether these numbers, at least one, are neighbours in ascending order."""
    first, n = numbers[0], len(numbers)
    return numbers[-1] - first + 1 == n and numbers == counting(first, n)


def stretches(numbers: array[int], shortest: int) -> list[tuple[int, int]]:
    """The positions (start, stop) of all stretches of at least so many numbers, in order."""
    n = len(numbers)
    if n < shortest:
        return []
    if is_stretch(numbers):
        return [(0, n)]
    breaks = [place for place, (left, right) in enumerate(pairwise(numbers), 1) if right != left + 1]
    return [(start, stop) for start, stop in pairwise((0, *breaks, n)) if stop - start >= shortest]


def all_are(column: array[int], first: int, n: int, value: int) -> bool:
    """Whether the `n` rows of a column from `first` on all have this value."""
    return column[first : first + n] == array(column.typecode, (value,)) * n
