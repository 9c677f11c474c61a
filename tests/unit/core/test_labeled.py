"""The labeled list: like a list by number, like a dict by label."""

from __future__ import annotations

import copy
import pickle

import pytest

from rain.core.labeled import LabeledList


@pytest.fixture
def abc() -> LabeledList[int]:
    return LabeledList([1, 2, 3], labels=["a", None, "c"])


def test_items_are_found_by_number_slice_and_label(abc):
    assert (abc[0], abc[-1], abc["a"], abc["c"]) == (1, 3, 1, 3)
    assert abc[1:] == [2, 3]
    assert type(abc[:]) is list
    assert abc.data == [1, 2, 3] == list(abc)


def test_it_is_made_from_pairs_and_copied_from_another(abc):
    assert LabeledList(pairs=[("a", 1), (None, 2), ("c", 3)]) == abc
    twin = LabeledList(abc)
    assert twin == abc
    twin.set_label(0, "z")
    assert abc["a"] == 1


def test_in_asks_for_labels(abc):
    assert "a" in abc
    assert "b" not in abc
    assert 1 not in abc
    assert None not in abc


def test_a_label_that_is_missing_is_a_key_error_that_names_those_there_are(abc):
    with pytest.raises(KeyError, match=r"no label 'b'; labels are: 'a', 'c'"):
        abc["b"]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.append(4, "a"),
        lambda x: x.insert(0, 4, label="a"),
        lambda x: x.set(1, 4, label="a"),
        lambda x: x.set_label(1, "a"),
        lambda x: LabeledList([1, 2], labels=["a", "a"]),
    ],
)
def test_a_duplicate_label_is_a_key_error_and_changes_nothing(abc, change):
    before = LabeledList(abc)
    with pytest.raises(KeyError, match="'a'"):
        change(abc)
    assert abc == before


@pytest.mark.parametrize("label", [0, True, slice(1)])
def test_a_number_or_slice_as_a_label_is_a_type_error(abc, label):
    for change in (lambda: abc.append(4, label), lambda: abc.set_label(0, label), lambda: LabeledList([1], [label])):
        with pytest.raises(TypeError, match="label"):
            change()
    assert len(abc) == 3


def test_items_are_replaced_added_and_removed_with_their_labels(abc):
    abc[0] = 10
    assert abc["a"] == 10
    abc["c"] = 30
    abc.set("c", 31, label="d")
    abc.append(4, "e")
    abc.insert(0, 0)
    assert list(abc.items()) == [(None, 0), ("a", 10), (None, 2), ("d", 31), ("e", 4)]
    assert abc.pop("d") == 31
    assert abc.pop() == 4
    del abc["a"]
    assert list(abc.items()) == [(None, 0), (None, 2)]
    del abc[:]
    assert len(abc) == 0


def test_a_label_may_be_set_to_what_it_is(abc):
    abc.set_label(0, "a")
    abc.set(0, 5, label="a")
    assert abc["a"] == 5
    assert abc.get_label(0) == "a"


def test_slice_assignment_clears_labels(abc):
    abc[1:2] = [7, 8]
    assert list(abc.items()) == [(None, 1), (None, 7), (None, 8), (None, 3)]


def test_a_step_of_a_failed_slice_assignment_changes_nothing(abc):
    before = LabeledList(abc)
    with pytest.raises(ValueError, match="extended slice"):
        abc[::2] = [1]
    assert abc == before


def test_it_equals_another_with_the_same_items_and_labels_and_never_a_list(abc):
    assert abc != LabeledList([1, 2, 3])
    assert abc != [1, 2, 3]
    assert LabeledList([1]) != [1]


def test_items_and_labels_must_be_as_many():
    with pytest.raises(ValueError, match="2 items but 1 labels"):
        LabeledList([1, 2], labels=["a"])


def test_it_survives_pickling_and_copying(abc):
    assert pickle.loads(pickle.dumps(abc)) == abc
    assert copy.copy(abc) == abc


def test_its_repr_shows_labels(abc):
    assert repr(abc) == "LabeledList(a=1, 2, c=3)"
