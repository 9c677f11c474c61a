"""The store of a worker: what is put in is there, what is removed leaves no file."""

from __future__ import annotations

import errno
import os
from array import array
from pathlib import Path

import pytest

from rain.wire.holder import Stored
from rain.worker.store import ObjectStore

BIG = b"x" * 100_000


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path)


def write(store: ObjectStore, obj: int, session: int = 1, mode: int = 0o444) -> Path:
    path = store.path(session, obj)
    path.write_bytes(BIG)
    path.chmod(mode)
    return path


def test_bytes_are_kept_with_their_content_type(store: ObjectStore) -> None:
    store.put_bytes(1, 2, b"abc", "text")
    assert store.get(1, 2) == Stored(3, "text", b"abc")
    assert store.get(1, 3) is None
    assert store.get(2, 2) is None


def test_a_file_at_its_place_is_adopted_and_made_read_only(store: ObjectStore) -> None:
    path = write(store, 5, mode=0o644)
    assert store.adopt_file(1, 5, "blob") == len(BIG)
    assert store.get(1, 5) == Stored(len(BIG), "blob", path)
    assert path.stat().st_mode & 0o777 == 0o444


def test_only_a_regular_file_is_adopted(store: ObjectStore, tmp_path: Path) -> None:
    assert store.adopt_file(1, 5) is None
    store.path(1, 5).symlink_to("/etc/passwd")
    assert store.adopt_file(1, 5) is None
    store.path(1, 6).mkdir()
    assert store.adopt_file(1, 6) is None
    assert store.get(1, 5) is None


def test_an_alias_of_bytes_shares_them_and_one_of_a_file_is_a_link(store: ObjectStore) -> None:
    store.put_bytes(1, 1, b"abc", "text")
    path = write(store, 2)
    store.adopt_file(1, 2, "blob")
    assert store.alias(1, 11, 1) == 3
    assert store.alias(1, 12, 2, "other") == len(BIG)
    assert store.get(1, 11) == Stored(3, "text", b"abc")
    assert store.get(1, 12) == Stored(len(BIG), "other", store.path(1, 12))
    assert path.samefile(store.path(1, 12))
    store.discard(1, [2])
    assert store.path(1, 12).read_bytes() == BIG


def test_an_alias_of_nothing_is_none(store: ObjectStore) -> None:
    assert store.alias(1, 2, 1) is None
    assert store.get(1, 2) is None


def test_discarding_removes_objects_and_files_that_never_became_objects(store: ObjectStore, tmp_path: Path) -> None:
    write(store, 1)
    store.adopt_file(1, 1)
    store.put_bytes(1, 2, b"x")
    write(store, 3)
    store.discard(1, [1, 2, 3, 4])
    assert [store.get(1, obj) for obj in (1, 2, 3, 4)] == [None] * 4
    assert list(tmp_path.iterdir()) == []
    store.discard(9, [1])


def test_an_object_that_comes_again_as_bytes_leaves_no_file(store: ObjectStore, tmp_path: Path) -> None:
    write(store, 1)
    store.adopt_file(1, 1)
    store.put_bytes(1, 1, b"small")
    assert store.get(1, 1) == Stored(5, None, b"small")
    assert list(tmp_path.iterdir()) == []


def test_closing_a_session_removes_all_of_it_and_nothing_else(store: ObjectStore) -> None:
    for session in (1, 11):
        write(store, 1, session)
        store.adopt_file(session, 1)
        store.put_bytes(session, 2, b"x")
    stray = write(store, 7, 1)
    store.close_session(1)
    assert store.get(1, 1) is None
    assert store.get(1, 2) is None
    assert not stray.exists()
    assert store.get(11, 1) is not None
    assert store.path(11, 1).exists()


def test_files_that_somebody_changed_or_removed_are_named_once_and_cannot_be_read_any_more(store: ObjectStore) -> None:
    for obj in range(4):
        store.path(1, obj).write_bytes(b"as it was")
        store.adopt_file(1, obj)
    store.alias(1, 4, 1)
    store.put_bytes(1, 5, b"in memory")
    assert store.damaged(1, range(6)) == []
    store.path(1, 0).unlink()
    store.path(1, 1).chmod(0o600)
    store.path(1, 1).write_bytes(b"as it is!")
    os.utime(store.path(1, 1), ns=(7, 7))
    assert store.damaged(1, [2, 3, 5]) == [], "none of these"
    assert sorted(store.damaged(1, [0])) == [0, 1, 4], "and what shares the bytes of those"
    assert store.damaged(1, range(6)) == []
    assert [store.path(1, obj).exists() for obj in range(5)] == [False, False, True, True, False]
    store.put_bytes(1, 0, b"made again")
    store.path(1, 1).write_bytes(b"made again")
    store.adopt_file(1, 1)
    assert store.damaged(1, range(6)) == []


def test_an_object_of_a_session_that_is_not_there_is_not_damaged(store: ObjectStore) -> None:
    assert store.damaged(9, [1]) == []


KIB = 1024


def parts(folder: Path) -> list[Path]:
    return list(folder.glob(".part-*"))


def test_small_objects_beyond_the_limit_are_in_files_and_come_back_when_they_are_needed(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path, 8 << 20)
    contents = {obj: bytes([obj % 256]) * 60 * KIB for obj in range(500)}
    for obj, content in contents.items():
        store.put_bytes(1, obj, content, "blob")
        assert store.memory_bytes <= 8 << 20
    assert sum(path.stat().st_size for path in parts(tmp_path)) > 20 << 20
    for obj, content in contents.items():
        assert store.get(1, obj) == Stored(len(content), "blob", content)
        assert store.memory_bytes <= 8 << 20
    store.discard(1, contents)
    assert store.memory_bytes == 0
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_small_objects_goes_when_most_of_them_are_gone(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path, 4 << 20)
    for obj in range(100):
        store.put_bytes(1, obj, bytes(60 * KIB))
    assert len(parts(tmp_path)) == 1
    store.discard(1, range(60))
    assert parts(tmp_path) == []
    assert all(store.get(1, obj) == Stored(60 * KIB, None, bytes(60 * KIB)) for obj in range(60, 100))


def test_a_lower_limit_is_heeded_at_once(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    for obj in range(100):
        store.put_bytes(1, obj, bytes(60 * KIB))
    store.limit_memory(1 << 20)
    assert store.memory_bytes <= 1 << 20


def test_a_closed_session_leaves_none_of_its_small_objects(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path, 1 << 20)
    for obj in range(100):
        store.put_bytes(1, obj, bytes(60 * KIB))
    store.close_session(1)
    assert store.memory_bytes == 0
    assert list(tmp_path.iterdir()) == []


def test_a_closed_session_leaves_none_of_its_segments_and_those_of_others_stay(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path, 1 << 20)
    sizes = array("I", [KIB] * 100)
    for number in range(100):
        session = 2 if number % 10 == 0 else 1
        store.put_range(session, number * 100, sizes, bytes([number]) * (100 * KIB), "blob")
    assert parts(tmp_path)
    store.close_session(1)
    for number in range(0, 100, 10):
        assert store.get(2, number * 100 + 7) == Stored(KIB, "blob", bytes([number]) * KIB)
    store.close_session(2)
    assert store.memory_bytes == 0
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_was_written_to_a_file_is_replaced_aliased_and_spilled_like_any_other(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path, 0)
    store.put_bytes(1, 1, b"one", "text")
    assert store.alias(1, 2, 1) == 3
    path = store.spill(1, 1)
    assert path is not None
    assert path.read_bytes() == b"one"
    store.put_bytes(1, 2, b"two")
    assert store.get(1, 2) == Stored(3, None, b"two")
    store.discard(1, [1, 2])
    assert list(tmp_path.iterdir()) == []


def test_an_object_whose_spill_file_is_gone_is_found_damaged(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path, 0)
    store.put_bytes(1, 1, b"one")
    for path in parts(tmp_path):
        path.unlink()
    assert store.get(1, 1) == Stored(3, None, store.path(1, 1))
    assert store.damaged(1, [1]) == [1]
    assert store.damaged(1, [1]) == []


def test_a_full_disk_keeps_small_objects_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = ObjectStore(tmp_path, 0)
    monkeypatch.setattr("rain.worker.spill.os.write", full)
    store.put_bytes(1, 1, b"one")
    assert store.get(1, 1) == Stored(3, None, b"one")
    monkeypatch.undo()
    store.limit_memory(0)
    assert store.memory_bytes == 0
    assert store.get(1, 1) == Stored(3, None, b"one")
