"""Small results of neighbours, stored as one piece of memory or of a file."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from rain.core.errors import InvariantViolation
from rain.wire.holder import Stored
from rain.worker.store import ObjectStore

#: Of ten objects from number 100 on.
SIZES = array("Q", range(10))
DATA = b"".join(b"%d" % size * size for size in SIZES)


def content(obj: int) -> Stored:
    size = obj - 100
    return Stored(size, "text", b"%d" % size * size)


def filled(folder: Path, limit_bytes: int | None = None) -> ObjectStore:
    store = ObjectStore(folder, limit_bytes)
    store.put_range(1, 100, SIZES, DATA, "text")
    return store


def test_each_of_a_range_is_an_object(tmp_path: Path) -> None:
    store = filled(tmp_path)
    assert [store.get(1, obj) for obj in range(100, 110)] == [content(obj) for obj in range(100, 110)]
    assert [store.get(1, 99), store.get(1, 110), store.get(2, 100)] == [None] * 3
    assert store.memory_bytes == len(DATA)


def test_neighbours_are_read_in_few_pieces_whatever_they_are_stored_as(tmp_path: Path) -> None:
    store = filled(tmp_path)
    assert list(store.small(1, 100, 10)) == [DATA]
    store.put_bytes(1, 99, b"a")
    store.put_bytes(1, 105, b"b")
    store.path(1, 110).write_bytes(b"c")
    store.adopt_file(1, 110)
    expected = b"a" + DATA[:10] + b"b" + DATA[15:] + b"c"
    assert b"".join(store.small(1, 99, 12)) == expected
    with pytest.raises(InvariantViolation, match=r"s1\.o111"):
        list(store.small(1, 108, 4))


def test_what_is_dropped_or_stored_anew_is_not_in_the_range_any_more(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.discard(1, [102, 104])
    store.put_bytes(1, 103, b"new")
    store.put_range(1, 108, array("Q", (1, 1)), b"xy", None)
    assert [store.get(1, obj) for obj in (102, 104)] == [None, None]
    assert store.get(1, 103) == Stored(3, None, b"new")
    assert [store.get(1, obj) for obj in (107, 108, 109)] == [
        content(107),
        Stored(1, None, b"x"),
        Stored(1, None, b"y"),
    ]
    store.discard(1, range(100, 110))
    assert (list(tmp_path.iterdir()), store.memory_bytes) == ([], 0)


def test_a_range_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    store.path(1, 101).write_bytes(b"large")
    store.adopt_file(1, 101)
    store.put_bytes(1, 102, b"small")
    store.put_range(1, 100, SIZES, DATA, "text")
    assert [store.get(1, obj) for obj in (101, 102)] == [content(101), content(102)]
    assert (list(tmp_path.iterdir()), store.memory_bytes) == ([], len(DATA))


def test_few_that_are_left_do_not_keep_the_bytes_of_many(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.discard(1, range(100, 109))
    assert store.get(1, 109) == content(109)
    assert store.memory_bytes == 9


def test_a_range_that_memory_has_no_room_for_is_in_a_file(tmp_path: Path) -> None:
    store = filled(tmp_path, limit_bytes=len(DATA) - 1)
    [file] = tmp_path.iterdir()
    assert (file.read_bytes(), store.memory_bytes) == (DATA, 0)
    assert [store.get(1, obj) for obj in (103, 109)] == [content(103), content(109)]
    assert list(store.small(1, 100, 10)) == [DATA]
    store.discard(1, range(100, 110))
    assert list(tmp_path.iterdir()) == []


def test_few_that_are_left_of_a_range_in_a_file_come_back(tmp_path: Path) -> None:
    store = filled(tmp_path, limit_bytes=20)
    store.discard(1, range(100, 109))
    assert (list(tmp_path.iterdir()), store.memory_bytes) == ([], 9)
    assert store.get(1, 109) == content(109)


def test_a_range_whose_file_was_removed_is_found_damaged(tmp_path: Path) -> None:
    store = filled(tmp_path, limit_bytes=0)
    [file] = tmp_path.iterdir()
    file.unlink()
    lost = store.get(1, 103)
    assert lost is not None
    assert isinstance(lost.data, Path)
    assert store.damaged(1, [103]) == [103]


def test_a_closed_session_leaves_nothing_of_its_ranges(tmp_path: Path) -> None:
    store = filled(tmp_path, limit_bytes=0)
    store.limit_memory(1000)
    store.put_range(1, 200, SIZES, DATA, None)
    store.close_session(1)
    assert (list(tmp_path.iterdir()), store.memory_bytes, store.get(1, 205)) == ([], 0, None)
