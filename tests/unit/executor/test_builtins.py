"""Built-in tasks on blobs."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from rain.core.failure import Cause
from rain.core.kinds import Kind, PathArgs, SleepArgs
from rain.core.spec import OutputSpec, TaskSpec
from rain.protocol.executor import MAX_PIPE_RESULT, Produced
from tests.unit.executor.forkserver_bench import ForkserverBench, inline_input

CONCAT = TaskSpec(kind=Kind.CONCAT)
LOAD = TaskSpec(kind=Kind.LOAD)
STORE = TaskSpec(kind=Kind.STORE, outputs=())
LARGE = MAX_PIPE_RESULT + 1


def path_args(path) -> bytes:
    return msgspec.msgpack.encode(PathArgs(str(path)))


def test_concat_joins_in_order_with_repeats(bench):
    a, b = inline_input(1, b"a"), bench.stored_input(2, b"b")
    assert bench.done(CONCAT, a, b, a) == (Produced(3, None, b"aba"),)


def test_concat_of_nothing_is_empty(bench):
    assert bench.done(CONCAT) == (Produced(0, None, b""),)


def test_concat_of_large_objects_is_a_file_of_the_store(bench):
    large = bench.stored_input(3, b"x" * LARGE)
    assert bench.done(CONCAT, large, inline_input(4, b"mid"), large) == (Produced(2 * LARGE + 3),)
    assert bench.stored_result(bench.n_tasks).read_bytes() == b"x" * LARGE + b"mid" + b"x" * LARGE


def test_concat_keeps_a_type_that_all_share(bench):
    text, typed = inline_input(1, b"a", "text"), inline_input(2, b"b", "json")
    assert bench.done(CONCAT, text, text)[0].content_type == "text"
    assert bench.done(CONCAT, text, typed)[0].content_type is None


@pytest.mark.parametrize("size", [3, LARGE])
def test_load_makes_an_object_of_a_file_and_leaves_the_file_alone(bench, tmp_path, size):
    path = tmp_path / "data"
    path.write_bytes(b"d" * size)
    [produced] = bench.done(TaskSpec(kind=Kind.LOAD, outputs=(OutputSpec(content_type="text"),)), args=path_args(path))
    assert (produced.size, produced.content_type) == (size, "text")
    stored = produced.data if produced.data is not None else bench.stored_result(bench.n_tasks).read_bytes()
    assert stored == b"d" * size
    assert path.stat().st_mode & 0o200, "the owner may still write"
    assert path.stat().st_nlink == 1


def test_load_of_a_missing_file_names_it(bench, tmp_path):
    failure = bench.failure(LOAD, args=path_args(tmp_path / "nothing"))
    assert f"there is no file '{tmp_path / 'nothing'}' on the worker" in failure.message


def test_load_of_a_folder_says_what_takes_folders(bench, tmp_path):
    failure = bench.failure(LOAD, args=path_args(tmp_path))
    assert "is a folder" in failure.message
    assert "LoadDir" in failure.message


def test_load_of_a_pipe_does_not_hang(bench, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert "is no regular file" in bench.failure(LOAD, args=path_args(tmp_path / "fifo")).message


@pytest.mark.parametrize("size", [3, LARGE])
def test_load_takes_a_url(bench, tmp_path, size):
    pytest.importorskip("fsspec")
    (tmp_path / "data").write_bytes(b"d" * size)
    [produced] = bench.done(LOAD, args=path_args(f"file://{tmp_path}/data"))
    assert produced.size == size
    failure = bench.failure(LOAD, args=path_args(f"file://{tmp_path}/nothing"))
    assert f"cannot load 'file://{tmp_path}/nothing' on the worker: FileNotFoundError" in failure.message


def test_load_of_a_url_without_the_package_names_it(tmp_path):
    bench = ForkserverBench(tmp_path / "root", sabotage="sys.modules['fsspec'] = None")
    try:
        assert "pip install fsspec" in bench.failure(LOAD, args=path_args("https://example.org/x")).message
    finally:
        bench.close()


def test_store_to_a_url_is_refused(bench):
    failure = bench.failure(STORE, inline_input(1, b""), args=path_args("s3://bucket/x"))
    assert "not URLs" in failure.message


@pytest.mark.parametrize("kind", ["in memory", "in a file"])
def test_store_writes_a_file_of_its_own_and_makes_the_folders_to_it(bench, tmp_path, kind):
    given = inline_input(1, b"data") if kind == "in memory" else bench.stored_input(5, b"data")
    target = tmp_path / "new" / "folder" / "file"
    for _ in range(2):
        assert bench.done(STORE, given, args=path_args(target)) == ()
        assert target.read_bytes() == b"data"
    assert [path.name for path in target.parent.iterdir()] == ["file"]
    target.write_bytes(b"mine now")
    if given.path is not None:
        assert Path(given.path).read_bytes() == b"data"


def test_store_that_fails_leaves_what_was_there(bench, tmp_path):
    (tmp_path / "file").write_text("old")
    for target in (tmp_path, tmp_path / "file" / "below"):
        failure = bench.failure(STORE, inline_input(1, b"data"), args=path_args(target))
        assert f"cannot write '{target}'" in failure.message
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_store_replaces_what_a_link_leads_to_and_keeps_the_link(bench, tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "latest").symlink_to("file")
    assert bench.done(STORE, inline_input(1, b"new"), args=path_args(tmp_path / "latest")) == ()
    assert (tmp_path / "latest").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_store_takes_no_pipe_or_device_away(bench, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    failure = bench.failure(STORE, inline_input(1, b"data"), args=path_args(tmp_path / "pipe"))
    assert "it is a device, pipe or socket" in failure.message
    assert (tmp_path / "pipe").is_fifo()


def test_store_to_a_name_that_no_file_can_have_says_so(bench, tmp_path):
    failure = bench.failure(STORE, inline_input(1, b"data"), args=path_args(tmp_path / ("x" * 300)))
    assert failure.message.endswith("on the worker: File name too long.")


def test_sleep_passes_its_input_on(bench):
    args = msgspec.msgpack.encode(SleepArgs(0.001))
    given = inline_input(1, b"x", "text")
    assert bench.done(TaskSpec(kind=Kind.SLEEP), given, args=args) == (Produced(1, "text", same_as_input=0),)


def test_a_result_that_the_full_disk_of_the_store_does_not_take_is_no_fault_of_the_task(bench):
    large = bench.stored_input(9, b"x" * LARGE)
    stored = bench.stored_result(bench.n_tasks + 1)
    (stored.parent / f".e1.{stored.name}").symlink_to("/dev/full")
    failure = bench.failure(CONCAT, large, large)
    assert failure.cause is Cause.ROOM
    assert "could not be written to the worker's folder" in failure.message
    assert "No space left on device" in failure.message
    assert not stored.exists()
    assert bench.done(CONCAT, large, large) == (Produced(2 * LARGE),)


def test_a_file_that_a_full_disk_elsewhere_does_not_take_fails_the_task(bench):
    large = bench.stored_input(10, b"x" * LARGE)
    failure = bench.failure(STORE, large, args=path_args("/dev/full"))
    assert failure.cause is Cause.TASK
