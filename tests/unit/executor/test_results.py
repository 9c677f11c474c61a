"""Results that a full disk does not take."""

from __future__ import annotations

from pathlib import Path

import pytest

from rain.executor.attempt_failed import NoRoom
from rain.executor.results import ResultStore
from rain.protocol.executor import MAX_PIPE_RESULT

LARGE = bytes(MAX_PIPE_RESULT + 1)


@pytest.fixture
def full(tmp_path: Path) -> ResultStore:
    """A store where whatever is written to object 2 of session 1 meets a full disk."""
    store = tmp_path / "store"
    store.mkdir()
    (store / ".e7.s1.o2").symlink_to("/dev/full")
    return ResultStore(str(store), 7)


def test_bytes_that_a_full_disk_does_not_take_are_no_fault_of_the_task(full: ResultStore, tmp_path: Path) -> None:
    with pytest.raises(NoRoom, match=rf"^s1\.o2, a result, .* folder {tmp_path}/store: No space left on device\.$"):
        full.keep_bytes(1, 2, LARGE, None)
    assert list((tmp_path / "store").iterdir()) == []


def test_parts_that_a_full_disk_does_not_take_are_no_fault_of_the_task(full: ResultStore, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(LARGE)
    with pytest.raises(NoRoom):
        full.concatenate(1, 2, [LARGE, str(tmp_path / "part")], None)
    assert list((tmp_path / "store").iterdir()) == []


def test_a_part_that_cannot_be_read_is_another_matter(full: ResultStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        full.concatenate(1, 2, [str(tmp_path / "nothing")], None)


def test_bytes_and_files_follow_one_another_in_a_result(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(b"file" + LARGE)
    store = ResultStore(str(tmp_path), 7)
    produced = store.concatenate(1, 2, [b"a", str(part), b"b", LARGE, None, str(part), b"c"], "text")
    expected = b"a" + part.read_bytes() + b"b" + LARGE + part.read_bytes() + b"c"
    assert (tmp_path / "s1.o2").read_bytes() == expected
    assert produced.size == len(expected)
