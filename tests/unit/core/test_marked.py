"""Sets of numbers that lie close together."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from rain.core.marked import Marked

IS_ONE = bytes(value == 1 for value in range(256))


def test_an_empty_set_finds_nothing() -> None:
    marked = Marked(())
    assert (len(marked), list(marked.numbers())) == (0, [])
    assert marked.first_where(bytearray(b"\1\1"), IS_ONE) is None
    assert not marked.take_where(bytearray(b"\1\1"), IS_ONE)


def test_a_number_that_is_not_in_it_may_be_taken_out() -> None:
    marked = Marked([3, 5])
    for number in (0, 4, 9):
        marked.discard(number)
    marked.discard(3)
    marked.discard(3)
    assert (len(marked), list(marked.numbers())) == (1, [5])


@given(st.lists(st.integers(0, 40)), st.binary(min_size=41, max_size=60).map(lambda raw: bytes(b % 3 for b in raw)))
def test_it_is_a_set_compared_with_a_column(numbers: list[int], raw: bytes) -> None:
    column = bytearray(raw)
    marked, expected = Marked(array("I", numbers)), set(numbers)
    assert list(marked.numbers()) == sorted(expected)
    found = sorted(number for number in expected if column[number] == 1)
    assert marked.first_where(column, IS_ONE) == (found[0] if found else None)
    assert list(marked.take_where(column, IS_ONE)) == found
    assert list(marked.numbers()) == sorted(expected - set(found))
    assert len(marked) == len(expected) - len(found)
    assert not marked.take_where(column, IS_ONE)
