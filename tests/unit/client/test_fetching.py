"""What the first answer of a fetch brings, and when it is enough."""

from __future__ import annotations

from rain.client.fetched import FetchedData
from rain.client.fetching import MAX_LOCATED, brings_all, fetched, first_locate
from rain.client.machine.effects import Trouble
from rain.protocol.client import Located
from rain.protocol.columns import pack, unpack
from rain.wire.holder import Stored


def located(*inline: bool, data: bytes = b"abc") -> Located:
    """An answer about objects of one byte each."""
    n = len(inline)
    return Located(
        request=1,
        holder=pack("I", [0 if here else 2 for here in inline]),
        size=pack("Q", [1] * n),
        inline=pack("B", inline),
        data=memoryview(data),
        content_types=(None,) * n,
        users=((0, b"{}"),),
    )


def test_an_answer_with_all_bytes_is_the_whole_fetch_in_the_order_asked_for() -> None:
    answer = located(True, True, data=b"xy")
    assert brings_all(answer, [9, 5, 9])
    found = fetched([9, 5, 9], (answer, None))
    nine, five = Stored(1, None, b"x"), Stored(1, None, b"y")
    assert found == FetchedData([nine, five, nine], {9: b"{}"})


def test_an_answer_without_some_of_the_bytes_or_about_some_of_the_objects_is_not() -> None:
    assert not brings_all(located(True, False), [1, 2])
    assert not brings_all(located(True, True), [1, 2, 3])


def test_each_object_is_asked_for_once_and_not_too_many_at_a_time() -> None:
    question = first_locate(4, 3, [2, 1, 2])
    assert (question.request, question.session, list(unpack("I", question.objects, "objects"))) == (4, 3, [2, 1])
    assert len(unpack("I", first_locate(4, 3, range(MAX_LOCATED + 1)).objects, "objects")) == MAX_LOCATED


def test_what_came_after_the_first_answer_counts_and_trouble_stays_trouble() -> None:
    rest = FetchedData([Stored(1, None, b"z")], {})
    assert fetched([1], (located(False, data=b""), rest)) == rest
    trouble = Trouble(reason="gone")
    assert fetched([1], (trouble, None)) == trouble
