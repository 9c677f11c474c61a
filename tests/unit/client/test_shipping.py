"""When a function that a session has sent is pickled again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rain.client.shipping import ShippedFunctions, parts_of

factor: Any = 2
table: Any = {"a": 1}


def scaled(x: int) -> int:
    return x * factor


def indirectly(x: int) -> int:
    return scaled(x) + 1


def in_table(x: str) -> int:
    return int(table[x])


def as_json(x: object) -> str:
    return json.dumps(x)


def make_counter() -> tuple[Callable[[], int], Callable[[], None]]:
    count = 0

    def counted() -> int:
        return count

    def step() -> None:
        nonlocal count
        count += 1

    return counted, step


class Functions:
    """What a session sends of one function; `look()` gives the bytes of the first call after a submit."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._shipped = ShippedFunctions()
        self._function = function

    def look(self) -> bytes:
        self._shipped.submitted()
        return self.call()

    def call(self) -> bytes:
        return self._shipped.body("key", self._function, "name")


@pytest.mark.parametrize("function", [scaled, indirectly, lambda: [factor for _ in range(3)]])
def test_a_global_that_was_assigned_is_seen_after_the_submit(
    function: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = Functions(function)
    before = shipped.look()
    assert shipped.look() is before
    monkeypatch.setitem(globals(), "factor", 3)
    assert shipped.call() is before
    after = shipped.look()
    assert after != before
    assert shipped.look() is after


def test_a_global_that_was_changed_in_place_is_seen_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "table", {"a": 1})
    shipped = Functions(in_table)
    before = shipped.look()
    assert shipped.look() is before
    table["a"] = 2
    assert shipped.look() != before


def test_an_enclosing_variable_that_was_assigned_is_seen() -> None:
    counted, step = make_counter()
    shipped = Functions(counted)
    before = shipped.look()
    assert shipped.look() is before
    step()
    assert shipped.look() != before


def test_other_code_of_the_same_function_object_is_seen() -> None:
    def changing() -> int:
        return 1

    shipped = Functions(changing)
    before = shipped.look()
    changing.__code__ = (lambda: 2).__code__
    assert shipped.look() != before


def test_a_function_of_unchangeable_parts_is_not_pickled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for function in (scaled, indirectly, as_json, json.dumps, make_counter()[0]):
        shipped = Functions(function)
        before = shipped.look()
        with monkeypatch.context() as patch:
            patch.setattr("rain.data.function.dump_function", lambda function: pytest.fail("it was pickled again"))
            assert shipped.look() is before


def test_parts_that_may_change_in_place_are_not_compared() -> None:
    assert parts_of(in_table) is None
    assert parts_of(lambda: Functions) is None
    assert parts_of(scaled) is not None
