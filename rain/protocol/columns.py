"""Columns: one field of many rows as raw little-endian numbers inside a message.

A message carries a batch as columns, never one task. A column is encoded from an `array` without a Python object per
row, and decoded to an `array` again by one copy. Rows of variable length are a column of counts plus the concatenated
values: counts cannot be out of order, and their sum must be the number of values.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from functools import cache

from rain.core.errors import ProtocolViolation

#: How a column stands in a message: a view of its bytes.
Column = memoryview

EMPTY: Column = memoryview(b"")

#: Below the one number of rows counting is not worth the arithmetic, and with the other it costs the least.
_FEW, _MANY = 32, 4096

if sys.byteorder != "little":  # pragma: no cover
    raise ImportError("Rain's wire format is little-endian, this machine is not")


def column(values: array[int]) -> Column:
    """The bytes of an array, without a copy; the array must not grow until the message is encoded."""
    return memoryview(values).cast("B") if len(values) else EMPTY


def pack(typecode: str, values: Iterable[int]) -> Column:
    """A column of the given array typecode ("B", "H", "I", "Q") from numbers."""
    return column(array(typecode, values))


def counting(first: int, count: int) -> array[int]:
    """The `count` numbers from `first` on as u32. Raises OverflowError beyond them.

    A column of numbers is one large number, too, and counting is a sum of two such: nothing is made per row.
    """
    if first + count > 1 << 32:
        raise OverflowError(f"{first + count - 1} is no u32")
    if count < _FEW:
        return array("I", range(first, first + count))
    size = min(1 << (count - 1).bit_length(), _MANY)
    ones, ramp = _ones_and_ramp(size)
    numbers = array("I")
    for start in range(first, first + count, size):
        # What is beyond u32 is beyond the end, too.
        numbers.frombytes((start * ones + ramp).to_bytes(4 * size + 8, "little")[: 4 * size])
    del numbers[count:]
    return numbers


@cache
def _ones_and_ramp(size: int) -> tuple[int, int]:
    """The columns 1, 1, 1, … and 0, 1, 2, … as numbers."""
    return tuple(int.from_bytes(array("I", each), "little") for each in ([1] * size, range(size)))  # type: ignore[return-value]


def unpack(typecode: str, data: Column, what: str, rows: int | None = None) -> array[int]:
    """The numbers of a column.

    Raises ProtocolViolation when the bytes are no whole number of rows, or not `rows` of them.
    """
    values = array(typecode)
    if not data and not rows:
        return values
    if len(data) % values.itemsize:
        raise ProtocolViolation(f"column {what}: {len(data)} bytes are no whole number of {values.itemsize}-byte rows")
    values.frombytes(data)
    if rows is not None and len(values) != rows:
        raise ProtocolViolation(f"column {what}: expected {rows} rows, found {len(values)}")
    return values


def check_total(counts: array[int], total: int, what: str) -> None:
    """Raises ProtocolViolation unless the counts add up to `total`."""
    found = sum(counts)
    if found != total:
        raise ProtocolViolation(f"{what}: counts add up to {found}, but there are {total}")


def check_below(values: array[int], limit: int, what: str) -> None:
    """Raises ProtocolViolation unless every value is below `limit`."""
    if values and max(values) >= limit:
        raise ProtocolViolation(f"{what}: {max(values)} is not below {limit}")
