"""Arguments of tasks: found again in any order, freed when all tasks of a part are forgotten."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rain.core.errors import InvariantViolation, ProtocolViolation
from rain.protocol.columns import EMPTY, pack
from rain.server.arguments import Arguments
from tests.unit.server.bench import numbers, pieces


def add(arguments: Arguments, first: int, args: list[bytes]) -> None:
    sizes, data = pack("I", map(len, args)), memoryview(b"".join(args))
    arguments.check(first, len(args), sizes, data)
    arguments.add(first, len(args), sizes, data)


def test_a_run_of_tasks_is_one_slice_without_a_copy():
    arguments = Arguments()
    add(arguments, 0, [b"a", b"bb", b"", b"dddd"])
    sizes, data = arguments.of(numbers(1, 2, 3))
    assert pieces(sizes, data) == [b"bb", b"", b"dddd"]
    assert sizes.obj is arguments.of(numbers(0))[0].obj


def test_tasks_of_several_parts_are_found_in_the_order_asked_for():
    arguments = Arguments()
    add(arguments, 0, [b"a", b"b"])
    add(arguments, 2, [b"", b""])
    add(arguments, 4, [b"c", b"d"])
    assert pieces(*arguments.of(numbers(5, 2, 0, 1, 4, 3))) == [b"d", b"", b"a", b"b", b"c", b""]
    assert arguments.of(numbers()) == (EMPTY, EMPTY)


def test_sizes_may_be_left_out_when_no_task_has_arguments():
    arguments = Arguments()
    arguments.check(0, 3, EMPTY, EMPTY)
    arguments.add(0, 3, EMPTY, EMPTY)
    assert pieces(*arguments.of(numbers(0, 1, 2))) == [b"", b"", b""]


@pytest.mark.parametrize(
    ("n", "sizes", "data", "complaint"),
    [
        (2, [1], b"x", "expected 2 rows, found 1"),
        (1, [2], b"x", "add up to 2, but there are 1"),
        (1, [], b"x", "expected 1 rows, found 0"),
    ],
)
def test_columns_that_contradict_one_another_are_a_violation(n, sizes, data, complaint):
    with pytest.raises(ProtocolViolation, match=complaint):
        Arguments().check(0, n, pack("I", sizes), memoryview(data))


def test_a_task_is_submitted_once():
    arguments = Arguments()
    add(arguments, 0, [b"a", b"b"])
    with pytest.raises(ProtocolViolation, match="task 1 was submitted before"):
        arguments.check(1, 1, pack("I", [1]), memoryview(b"x"))


def test_a_part_is_freed_when_its_last_task_is_forgotten():
    arguments = Arguments()
    add(arguments, 0, [b"aa", b"bb"])
    add(arguments, 2, [b"cc", b"dd"])
    assert arguments.forget(numbers(1)) == 0
    assert arguments.forget(numbers(2, 0)) == 4
    assert arguments.n_bytes == 4
    assert pieces(*arguments.of(numbers(2, 3))) == [b"cc", b"dd"]
    with pytest.raises(InvariantViolation, match="task 0"):
        arguments.of(numbers(0))
    assert arguments.forget(numbers(3)) == 4
    assert arguments.n_bytes == 0


@given(st.lists(st.lists(st.binary(max_size=5), min_size=1, max_size=6), min_size=1, max_size=5), st.data())
def test_any_choice_of_tasks_gets_its_own_arguments(parts, data):
    arguments = Arguments()
    everything: list[bytes] = []
    for part in parts:
        add(arguments, len(everything), part)
        everything += part
    chosen = data.draw(st.lists(st.integers(0, len(everything) - 1), max_size=12))
    assert pieces(*arguments.of(array("I", chosen))) == [everything[task] for task in chosen]
