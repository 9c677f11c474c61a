"""Content types: which exist, which is a kind of which."""

from __future__ import annotations

import pytest

from rain.core.content import PLAIN_TYPES, checked_type, is_subtype, settled_type, text_encoding
from rain.core.errors import RainException


@pytest.mark.parametrize(
    "name",
    [*sorted(PLAIN_TYPES), "text-latin1", "mime/image/png", "user/anything at all"],
)
def test_known_types_are_taken_as_they_are(name):
    assert checked_type(name) == name


@pytest.mark.parametrize("name", [None, ""])
def test_raw_bytes_have_no_type(name):
    assert checked_type(name) is None


@pytest.mark.parametrize("name", ["txt", "text-", "text-klingon", "text-zip", "user/", "mime", "Pickle", 3])
def test_unknown_types_are_refused(name):
    with pytest.raises(RainException, match="content type"):
        checked_type(name)


@pytest.mark.parametrize(
    ("narrow", "wide", "expected"),
    [
        ("json", None, True),
        (None, None, True),
        (None, "json", False),
        ("text-latin1", "text", True),
        ("text", "text-latin1", False),
        ("user/a/b", "user/a", True),
        ("user/ab", "user/a", False),
        ("json", "text", False),
        ("pickle", "cloudpickle", False),
    ],
)
def test_what_is_a_kind_of_what(narrow, wide, expected):
    assert is_subtype(narrow, wide) is expected


def test_the_type_that_was_set_wins_when_it_is_a_subtype():
    assert settled_type("text", "text-latin1") == "text-latin1"
    assert settled_type(None, "json") == "json"


def test_untyped_bytes_are_taken_as_what_was_planned():
    assert settled_type("json", None) == "json"
    assert settled_type(None, None) is None


def test_a_type_that_contradicts_the_planned_one_is_refused():
    with pytest.raises(RainException, match="'json' is no subtype of 'text', which was planned"):
        settled_type("text", "json")


def test_text_is_utf8_unless_it_says_otherwise():
    assert text_encoding("text") == "utf-8"
    assert text_encoding("text-latin1") == "latin1"
    assert text_encoding("json") is None
    assert text_encoding(None) is None
