"""Tables by number, beside sets and dicts that do the same one by one."""

from __future__ import annotations

from array import array
from random import Random

import pytest

from rain.worker.machine.numbers import NumberMap, NumberSet, among, neighbours, steady_end

#: Ranges of these numbers lie on several pages.
SPAN = 5000


def test_sets_of_numbers_hold_what_plain_sets_do() -> None:
    random = Random(1)
    found, expected = NumberSet(), set[int]()
    for _ in range(1000):
        first, count = random.randrange(SPAN), random.choice((0, 1, 1, 7, 300, 2500))
        numbers = range(first, first + count)
        if random.random() < 0.5:
            found.add(first, count)
            expected.update(numbers)
        else:
            found.discard(first, count)
            expected.difference_update(numbers)
        assert found.has_all(first, count) == expected.issuperset(numbers)
        first = random.randrange(SPAN)
        assert found.has_all(first, count) == expected.issuperset(range(first, first + count))
        assert found.any_of(first, count) == (not expected.isdisjoint(range(first, first + count)))
        assert (first in found, bool(found)) == (first in expected, bool(expected))
    assert list(found) == sorted(expected)


def test_maps_of_numbers_hold_what_dicts_do() -> None:
    random = Random(2)
    found: NumberMap[object] = NumberMap()
    expected: dict[int, object] = {}
    for _ in range(1000):
        first, count = random.randrange(SPAN), random.choice((0, 1, 1, 7, 300, 2500))
        if random.random() < 0.5:
            value = object()
            found.set(first, value, count)
            expected.update(dict.fromkeys(range(first, first + count), value))
        elif random.random() < 0.5:
            assert found.pop(first) is expected.pop(first, None)
        else:
            found.discard(first, count)
            for number in range(first, first + count):
                expected.pop(number, None)
        stretches = list(found.stretches(first, count))
        one_by_one = [(number, value) for start, n, value in stretches for number in range(start, start + n)]
        assert one_by_one == [(each, expected[each]) for each in range(first, first + count) if each in expected]
        assert found.any_of(first, count) == bool(stretches)
        assert (found.get(first), bool(found)) == (expected.get(first), bool(expected))
    assert list(found) == sorted(expected)


def test_a_value_of_many_neighbours_is_one_stretch_across_pages() -> None:
    found: NumberMap[str] = NumberMap()
    found.set(10, "a", 4000)
    found.set(4010, "b", 5)
    assert list(found.stretches(0, 9000)) == [(10, 4000, "a"), (4010, 5, "b")]


@pytest.mark.parametrize("step", [0, 1, 3])
def test_the_end_of_a_stretch_is_where_a_loop_finds_it(step: int) -> None:
    random = Random(3)
    for _ in range(2000):
        steadiness = random.choice((0.5, 0.9, 1.0))
        column = array("I", [5])
        for _ in range(random.randint(0, 60)):
            column.append(column[-1] + (step if random.random() < steadiness else random.randint(0, 3)))
        start = random.randrange(len(column))
        limit = random.randint(start + 1, len(column))
        end = start + 1
        while end < limit and column[end] == column[end - 1] + step:
            end += 1
        assert steady_end(column, start, limit, step) == end


def test_numbers_fall_into_stretches_of_neighbours() -> None:
    assert list(neighbours(array("I", [4, 5, 6, 9, 8, 9, 9]))) == [(4, 3), (9, 1), (8, 2), (9, 1)]
    top = 2**32 - 1
    assert list(neighbours(array("I", [top - 1, top, 0]))) == [(top - 1, 2), (0, 1)]
    assert list(neighbours(array("I"))) == []


def test_few_numbers_are_looked_for_among_many_and_many_among_few() -> None:
    assert among({5: "a", 7: "b", 99: "c"}, 0, 50) == [5, 7]
    assert among(set(range(100)), 98, 5) == [98, 99]
    assert among((), 0, 50) == []
