"""Small objects in memory: stretches of them behave as if each had come alone."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rain.server.small import SmallObjects


def stretch(small: SmallObjects, first: int, values: list[bytes]) -> None:
    small.put_stretch(first, array("Q", map(len, values)), memoryview(b"".join(values)))


def one(small: SmallObjects, obj: int, value: bytes) -> None:
    small.put(array("I", [obj]), [0], array("Q", [len(value)]), memoryview(value))


def test_objects_of_a_stretch_are_found_and_joined() -> None:
    small = SmallObjects()
    stretch(small, 10, [b"a", b"", b"ccc"])
    one(small, 4, b"four")
    assert [small.get(obj) for obj in (9, 10, 11, 12, 13)] == [None, b"a", b"", b"ccc", None]
    assert small.parts(array("I", [10, 11, 12])) == [b"accc"]
    assert small.parts(array("I", [12, 4, 10])) == [b"ccc", b"four", b"a"]
    with pytest.raises(KeyError):
        small.parts(array("I", [10, 99]))


def test_a_stretch_of_which_little_is_wanted_gives_its_memory_back() -> None:
    small = SmallObjects()
    stretch(small, 0, [b"0123456789"] * 100)
    for obj in range(76):
        small.drop(obj)
    assert small.n_bytes == 24 * 10
    assert small.get(75) is None
    assert small.get(76) == b"0123456789"
    for obj in range(100):
        small.drop(obj)
    assert small.n_bytes == 0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("stretch"), st.integers(0, 20), st.lists(st.binary(max_size=3), min_size=1, max_size=8)),
            st.tuples(st.just("one"), st.integers(0, 28), st.binary(max_size=3)),
            st.tuples(st.just("drop"), st.integers(0, 28), st.none()),
        ),
        max_size=20,
    )
)
def test_whatever_comes_and_goes_the_objects_are_those_of_a_dict(steps) -> None:
    small, expected = SmallObjects(), dict[int, bytes]()
    for step, obj, value in steps:
        if step == "stretch":
            stretch(small, obj, value)
            expected.update(enumerate(value, obj))
        elif step == "one":
            one(small, obj, value)
            expected[obj] = value
        else:
            small.drop(obj)
            expected.pop(obj, None)
        assert {each: small.get(each) for each in range(30)} == {each: expected.get(each) for each in range(30)}
        here = sorted(expected)
        assert b"".join(small.parts(array("I", here))) == b"".join(expected[each] for each in here)
        assert small.n_bytes >= sum(map(len, expected.values()))
    for obj in list(expected):
        small.drop(obj)
    assert small.n_bytes == 0
