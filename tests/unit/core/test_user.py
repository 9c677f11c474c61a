"""What users attach: a dict of what JSON can carry, and errors that say which part of it cannot travel."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rain.core.errors import RainException
from rain.core.user import MAX_USER_BYTES, decode_user, encode_user

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values))
def test_what_is_attached_comes_back_as_it_was(user: dict[str, Any]) -> None:
    assert decode_user(encode_user(user, "spec.user")) == user


def test_an_empty_dict_costs_nothing() -> None:
    assert encode_user({}, "spec.user") == b""
    assert decode_user(b"") == {}


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[1]", b"[" * 100_000])
def test_bytes_that_are_no_json_of_a_dict_are_nothing(data: bytes) -> None:
    assert decode_user(data) == {}


@pytest.mark.parametrize(
    ("user", "text"),
    [
        ([1], "s1.t0.spec.user: expected a dict, found list"),
        ({"a": [1, {2}]}, r"s1.t0.spec.user\['a'\]\[1\]: expected what JSON can carry .*, found set"),
        ({"a": {1: 2}}, r"s1.t0.spec.user\['a'\]: expected texts as keys, found 1"),
        ({"a": float("nan")}, r"s1.t0.spec.user\['a'\]: JSON knows no nan"),
        ({"a": "x" * MAX_USER_BYTES}, "make a data object of what is larger"),
        ({"a": 10**5000}, "cannot be written as JSON"),
    ],
)
def test_what_cannot_travel_is_named(user: object, text: str) -> None:
    with pytest.raises(RainException, match=text):
        encode_user(user, "s1.t0.spec.user")


def test_what_contains_itself_cannot_travel() -> None:
    user: dict[str, Any] = {}
    user["me"] = user
    with pytest.raises(RainException, match="contains itself"):
        encode_user(user, "spec.user")
