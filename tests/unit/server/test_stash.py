"""The stash: what comes with submits and uploads is kept for its session only, within limits, and goes with it."""

from __future__ import annotations

import gc
import stat
from array import array
from pathlib import Path

import msgspec
import pytest

from rain.core.errors import InvariantViolation, ProtocolViolation
from rain.protocol.client import UPLOAD_CHUNK_BYTES, Upload
from rain.protocol.columns import pack
from rain.server.stash import MAX_ARGUMENT_BYTES, Stash, StashLimits, StashRefusal
from rain.wire.holder import Stored
from tests.unit.server.bench import numbers, pieces, submit

CLIENT = 5


@pytest.fixture
def stash(tmp_path: Path) -> Stash:
    stash = Stash(tmp_path)
    stash.open(1, CLIENT)
    return stash


def upload(stash: Stash, obj: int, *chunks: bytes, total: int | None = None) -> None:
    size = sum(map(len, chunks)) if total is None else total
    offset = 0
    for chunk in chunks:
        stash.take_upload(CLIENT, Upload(1, obj, offset, size), chunk)
        offset += len(chunk)


def test_arguments_of_a_submit_are_found_by_task(stash):
    stash.take_submit(CLIENT, submit(args=[b"one", b"two"]))
    assert pieces(*stash.arguments_of(1, numbers(1))) == [b"two"]


def test_inline_constants_are_served_with_their_content_type(stash):
    stash.take_submit(CLIENT, submit(inline=[(0, b"raw", None), (1, b"[1]", "json")]))
    assert stash.small_objects(1, [1, 0]) == [b"[1]", b"raw"]
    assert stash.source(1, 0) == Stored(3, None, b"raw")
    assert stash.source(1, 1) == Stored(3, "json", b"[1]")
    assert stash.source(1, 2) is None
    assert stash.source(9, 0) is None


def test_a_constant_that_is_sent_again_is_counted_once(stash):
    for _ in range(3):
        stash.take_submit(CLIENT, submit(inline=[(0, b"12345", None)]))
    assert stash.used() == (5, 0)
    stash.drop(1, [0])
    assert stash.used() == (0, 0)


def test_small_results_are_copied_out_of_a_report(stash):
    report = bytearray(b"..abcde")
    stash.keep_results(1, numbers(3, 4), numbers(2, 5), numbers(3, 2), memoryview(report))
    report[:] = b"-------"
    assert stash.small_objects(1, [3, 4]) == [b"abc", b"de"]
    stash.drop(1, [3, 77])
    with pytest.raises(InvariantViolation, match=r"s1.o3 is not in the stash"):
        stash.small_objects(1, [3])


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"constant_size": pack("Q", [2])}, "add up to 2"),
        ({"constant_size": pack("Q", [])}, "expected 1 rows"),
        ({"constant_inline": pack("B", [7])}, "7 is not below 2"),
        ({"constant_type": pack("H", [3])}, "3 is not below 1"),
        ({"constants": memoryview(b"abc")}, "no whole number"),
        ({"n_tasks": 1 << 30}, "at most 4194304"),
        ({"args": memoryview(b"more")}, "counts add up"),
    ],
)
def test_a_submit_that_contradicts_itself_leaves_nothing(stash, changes, complaint):
    message = msgspec.structs.replace(submit(args=[b"x"], inline=[(0, b"abc", None)]), **changes)
    with pytest.raises(ProtocolViolation, match=complaint):
        stash.take_submit(CLIENT, message)
    assert stash.used() == (0, 0)
    assert stash.source(1, 0) is None


def test_an_upload_becomes_a_read_only_file_when_its_last_chunk_is_there(stash, tmp_path):
    first = bytes(UPLOAD_CHUNK_BYTES)
    stash.take_upload(CLIENT, Upload(1, 4, 0, len(first) + 3), first)
    assert stash.source(1, 4) is None
    stash.take_upload(CLIENT, Upload(1, 4, len(first), len(first) + 3), b"end")
    stash.take_submit(CLIENT, submit(uploaded=[(4, len(first) + 3, "dir")]))
    stored = stash.source(1, 4)
    assert stored == Stored(len(first) + 3, "dir", tmp_path / "s1.o4")
    assert (tmp_path / "s1.o4").read_bytes() == first + b"end"
    assert stat.S_IMODE((tmp_path / "s1.o4").stat().st_mode) == 0o444
    assert stash.used() == (0, len(first) + 3)


def test_an_empty_upload_is_complete_at_once(stash):
    upload(stash, 4, b"")
    stash.take_submit(CLIENT, submit(uploaded=[(4, 0, None)]))
    stored = stash.source(1, 4)
    assert stored is not None
    assert stored.size == 0


@pytest.mark.parametrize(
    ("chunk", "data", "complaint"),
    [
        (Upload(1, 4, 3, 10), b"abc", "chunk at 3, expected at 2"),
        (Upload(1, 4, 2, 11), b"abc", "11 bytes, 10 were announced"),
        (Upload(1, 4, 2, 10), b"123456789", "chunk of 9 bytes at 2 of 10"),
        (Upload(1, 4, 2, 10), b"", "an empty chunk"),
        (Upload(1, 5, 0, 1 << 40), bytes(UPLOAD_CHUNK_BYTES + 1), "chunk of"),
        (Upload(1, 5, 0, -1), b"", "-1"),
    ],
)
def test_chunks_out_of_order_or_beyond_the_announced_size_are_a_violation(stash, chunk, data, complaint):
    stash.take_upload(CLIENT, Upload(1, 4, 0, 10), b"ab")
    with pytest.raises(ProtocolViolation, match=complaint):
        stash.take_upload(CLIENT, chunk, data)


def test_an_upload_that_begins_again_replaces_what_came_of_it(stash, tmp_path):
    upload(stash, 4, b"before")
    stash.take_submit(CLIENT, submit(uploaded=[(4, 6, None)]))
    stash.take_upload(CLIENT, Upload(1, 4, 0, 1000), b"ab")
    assert stash.used() == (0, 1000)
    stash.take_upload(CLIENT, Upload(1, 4, 0, 5), b"after")
    assert stash.used() == (0, 5)
    assert (tmp_path / "s1.o4").read_bytes() == b"after"
    assert [path.name for path in tmp_path.iterdir()] == ["s1.o4"]


def test_a_submit_cannot_name_what_was_not_uploaded_completely(stash):
    upload(stash, 4, b"ab", total=10)
    with pytest.raises(ProtocolViolation, match=r"s1.o4 was not uploaded completely"):
        stash.take_submit(CLIENT, submit(uploaded=[(4, 10, None)]))


def test_the_end_of_an_earlier_use_leaves_what_was_uploaded_again(stash):
    upload(stash, 4, b"abc")
    stash.take_submit(CLIENT, submit(uploaded=[(4, 3, None)]))
    upload(stash, 4, b"abc")
    stash.drop(1, [4])
    stash.take_submit(CLIENT, submit(uploaded=[(4, 3, None)]))
    assert stash.source(1, 4) is not None
    assert stash.used() == (0, 3)
    stash.drop(1, [4])
    assert stash.source(1, 4) is None
    assert stash.used() == (0, 0)


def test_the_end_of_an_earlier_use_leaves_what_is_being_uploaded_again(stash, tmp_path):
    upload(stash, 4, b"abc")
    stash.take_submit(CLIENT, submit(uploaded=[(4, 3, None)]))
    stash.take_upload(CLIENT, Upload(1, 4, 0, 3), b"a")
    stash.drop(1, [4])
    assert stash.source(1, 4) is None
    stash.take_upload(CLIENT, Upload(1, 4, 1, 3), b"bc")
    stash.take_submit(CLIENT, submit(uploaded=[(4, 3, None)]))
    assert (tmp_path / "s1.o4").read_bytes() == b"abc"
    assert stash.used() == (0, 3)


def test_closing_a_session_removes_its_bytes_and_files_and_no_others(stash, tmp_path):
    stash.open(2, CLIENT)
    upload(stash, 4, b"abc")
    upload(stash, 5, b"ab", total=10)
    stash.take_submit(CLIENT, submit(session=2, args=[b"kept"]))
    stash.close(1)
    assert list(tmp_path.iterdir()) == []
    assert stash.source(1, 4) is None
    assert pieces(*stash.arguments_of(2, numbers(0))) == [b"kept"]


@pytest.mark.parametrize(("session", "client"), [(2, CLIENT), (1, CLIENT + 1)])
def test_what_belongs_to_no_session_of_the_client_is_not_taken(stash, tmp_path, session, client):
    stash.take_submit(client, submit(session=session, args=[b"x"], inline=[(0, b"abc", None)]))
    stash.take_upload(client, Upload(session, 4, 0, 1), b"x")
    assert stash.used() == (0, 0)
    assert list(tmp_path.iterdir()) == []


def test_more_than_a_client_may_leave_in_memory_is_refused_with_advice(tmp_path):
    stash = Stash(tmp_path, StashLimits(memory_bytes=10))
    stash.open(1, CLIENT)
    stash.open(2, CLIENT)
    stash.take_submit(CLIENT, submit(session=2, args=[b"123456"]))
    with pytest.raises(StashRefusal, match=r"for one client, s1 would bring it"):
        stash.take_submit(CLIENT, submit(session=1, args=[b"123456"]))
    assert stash.refuses(1)
    assert not stash.refuses(2)
    stash.take_submit(CLIENT, submit(session=1, args=[b"1"]))
    assert stash.used() == (6, 0)


def test_more_than_a_client_may_upload_is_refused_at_its_first_chunk(tmp_path):
    stash = Stash(tmp_path, StashLimits(disk_bytes=10))
    stash.open(1, CLIENT)
    with pytest.raises(StashRefusal, match=r"s1.o4 would be too much"):
        stash.take_upload(CLIENT, Upload(1, 4, 0, 11), b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_no_more_fails_the_session_with_the_reason(tmp_path):
    stash = Stash(tmp_path / "gone")
    stash.open(1, CLIENT)
    with pytest.raises(StashRefusal, match=r"s1.o4 cannot be stored at the server: No such file"):
        stash.take_upload(CLIENT, Upload(1, 4, 0, 1), b"x")
    assert stash.refuses(1)


def test_a_task_with_huge_arguments_is_refused_by_name(stash):
    big = MAX_ARGUMENT_BYTES + 1
    huge = submit(args=[b"", bytes(big)])
    with pytest.raises(StashRefusal, match=r"arguments of s1.t1 are 40 MiB.*blob"):
        stash.take_submit(CLIENT, huge)


def test_forgotten_tasks_free_their_arguments(stash):
    stash.take_submit(CLIENT, submit(args=[b"abc", b"d"]))
    stash.forget_tasks(1, array("I", [0, 1]))
    stash.forget_tasks(77, array("I", [0]))
    assert stash.used() == (0, 0)


def test_what_memory_has_no_room_for_is_in_files_without_names(tmp_path):
    stash = Stash(tmp_path, StashLimits(resident_bytes=600_000))
    stash.open(1, CLIENT)
    arguments = [bytes([task]) * 300_000 for task in range(4)]
    for task, argument in enumerate(arguments):
        stash.take_submit(CLIENT, submit(first_task=task, args=[argument]))
    stash.take_submit(CLIENT, submit(first_task=4, inline=[(obj, bytes([obj]) * 50_000, "text") for obj in range(6)]))
    assert open_files_in(tmp_path) == [300_000] * 3
    assert list(tmp_path.iterdir()) == []
    assert pieces(*stash.arguments_of(1, numbers(0, 1, 2, 3))) == arguments
    assert stash.source(1, 5) == Stored(50_000, "text", bytes([5]) * 50_000)
    assert stash.small_objects(1, [2, 3]) == [bytes([2]) * 50_000, bytes([3]) * 50_000]
    assert stash.used() == (1_500_000, 0)
    stash.forget_tasks(1, numbers(0, 1, 2, 3))
    stash.drop(1, range(6))
    assert stash.used() == (0, 0)
    gc.collect()
    assert open_files_in(tmp_path) == []


def test_there_is_room_in_memory_again_when_something_was_forgotten(tmp_path):
    stash = Stash(tmp_path, StashLimits(resident_bytes=300_000))
    stash.open(1, CLIENT)
    stash.take_submit(CLIENT, submit(args=[bytes(300_000)]))
    stash.forget_tasks(1, numbers(0))
    stash.take_submit(CLIENT, submit(first_task=1, args=[bytes(300_000)]))
    assert open_files_in(tmp_path) == []


def open_files_in(folder: Path) -> list[int]:
    """Sizes of the files of this folder that this process has mapped, also of those without a name."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if str(folder) in line:
            start, _, end = line.split()[0].partition("-")
            # Whole pages.
            found.append((int(end, 16) - int(start, 16)) // 100_000 * 100_000)
    return found
