"""Columns of numbers."""

from __future__ import annotations

from array import array

import pytest

from rain.protocol.columns import counting


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 1000, 4096, 4097, 10_000])
@pytest.mark.parametrize("first", [0, 7, 65_536, 2**31 - 5])
def test_counting_gives_the_numbers_that_a_range_has(first: int, count: int) -> None:
    assert counting(first, count) == array("I", range(first, first + count))


@pytest.mark.parametrize("count", [1, 40, 5000])
def test_counting_ends_where_u32_ends(count: int) -> None:
    assert counting(2**32 - count, count)[-1] == 2**32 - 1
    with pytest.raises(OverflowError):
        counting(2**32 - count + 1, count)
