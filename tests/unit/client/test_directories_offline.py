"""What is said about directories when tasks are made, without a server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rain.client import Input, InputDir, Output, OutputDir, RainException, Session, blob, directory, file, remote, tasks
from rain.client.submission import check_on_disk, parts, streamed_uploads, uploads
from rain.core.kinds import MakeDirectoryArgs
from rain.core.spec import OutputSpec
from rain.data.tree_archive import TreeArchive
from rain.protocol.client import UPLOAD_CHUNK_BYTES


@pytest.fixture
def session() -> Iterator[Session]:
    offline = Session(None, 1)
    with offline.bind_only():
        yield offline


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "file").write_bytes(bytes(UPLOAD_CHUNK_BYTES + 5))
    return root


def test_parts_of_a_directory_keep_their_order(session: Session, tree: Path) -> None:
    task = tasks.make_directory([("b", blob("b")), ("a/x", blob("x")), ("c/", directory(tree))], name="made")
    args = msgspec.msgpack.decode(session._graph.builder.columns.args, type=MakeDirectoryArgs)
    assert args.paths == ("b", "a/x", "c/")
    assert task.output.content_type == "dir"
    assert tasks.MakeDirectory({}, "label").outputs["label"].content_type == "dir"


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ([("a", "blob"), ("./a", "blob")], "two objects have the path './a'"),
        ([("a", "blob"), ("a/", "dir")], "two objects have the path 'a/'"),
        ([("a/b", "blob"), ("a", "blob")], "'a/b' lies below 'a', which is a file"),
        ([("../a", "blob")], "leads upwards"),
        ([("/a", "blob")], "is an absolute path"),
        ([("", "blob")], "names no file"),
        ([("a\0", "blob")], "no name of a file"),
        ([(b"a", "blob")], "expected a path in the directory as text"),
        ([("a", "dir")], "as a subdirectory its path is 'a/'"),
        ([("a/", "blob")], "is a blob, and a directory is needed"),
        ([("a/", "text")], "is a blob, and a directory is needed"),
        (["ab"], "expected (path, object) pairs"),
        (7, "expected (path, object) pairs or a dict"),
    ],
)
def test_what_cannot_be_put_together_is_refused_at_once(
    session: Session, tree: Path, parts: Any, complaint: str
) -> None:
    given = {"blob": blob(b"x"), "text": blob("x"), "dir": directory(tree)}
    if isinstance(parts, list):
        parts = [(part[0], given[part[1]]) if isinstance(part, tuple) else part for part in parts]
    with pytest.raises(RainException) as caught:
        tasks.make_directory(parts)
    assert complaint in str(caught.value)
    assert session.task_count == 0


def test_slices_are_files_or_directories_by_their_paths(session: Session, tree: Path) -> None:
    whole = directory(tree)
    assert tasks.slice_directory(whole, "sub/").output.content_type == "dir"
    assert tasks.slice_directory(whole, "sub/file").output.content_type is None
    assert (
        tasks.slice_directory(whole, "sub/file", Output("x", content_type="json")).outputs["x"].content_type == "json"
    )
    for path, output, complaint in [
        ("../x", None, "leads upwards"),
        ("sub/", Output(content_type="text"), "is a directory, not 'text'"),
        ("sub", OutputDir(), "a slash at the end"),
    ]:
        with pytest.raises(RainException, match=complaint):
            tasks.slice_directory(whole, path, output)
    with pytest.raises(RainException, match="is a blob, and a directory is needed"):
        tasks.slice_directory(blob("x"), "x")


def test_directories_of_programs_and_functions_are_declared(session: Session, tree: Path) -> None:
    program = tasks.execute(
        ["cp", InputDir("in", dataobj=directory(tree)), OutputDir("out", path="there")], output_paths=[OutputDir("o")]
    )
    assert [output.content_type for output in program.outputs] == ["dir", "dir"]
    assert session._graph.spec_of(0).outputs == (
        OutputSpec("o", "dir", None, "o", True),
        OutputSpec("out", "dir", None, "there", True),
    )

    @remote(outputs=OutputDir("made"))
    def made(ctx: Any, given: InputDir("given")) -> Any:  # type: ignore[valid-type]
        return given

    task = made(directory(tree), output="renamed")
    assert task.outputs["renamed"].content_type == "dir"
    assert repr(InputDir("x")) == "InputDir(content_type='dir', label='x', path='x')"
    assert isinstance(InputDir(), Input)
    with pytest.raises(RainException, match="what a program prints is no directory"):
        tasks.execute("ls", stdout=OutputDir("x"))
    with pytest.raises(RainException, match="LoadDir takes a folder"):
        tasks.load("x", OutputDir("x"))
    with pytest.raises(RainException, match="Load takes URLs"):
        tasks.LoadDir("http://x/y")


def test_what_is_on_disk_is_streamed_in_chunks_and_small_ones_travel_inside(session: Session, tree: Path) -> None:
    (tree / "small").write_text("small")
    whole, large, small = directory(tree), file(tree / "sub" / "file"), file(tree / "small", content_type="text")
    archive = TreeArchive(tree)
    assert (whole.label, large.label, small.label) == ("tree", "file", "small")
    assert small.data == b"small"
    order = session._graph.order()
    assert order is not None
    assert check_on_disk(order)
    assert list(uploads(order)) == []
    chunks = [bytes(payload) for _, payload in streamed_uploads(order)]
    assert b"".join(chunks) == archive.read(0, archive.size) + bytes(UPLOAD_CHUNK_BYTES + 5)
    assert max(map(len, chunks)) == UPLOAD_CHUNK_BYTES
    [part] = parts(order)
    assert bytes(part.constant_data) == b"small"


@pytest.mark.parametrize("change", ["write", "replace", "remove", "add", "link"])
def test_a_change_before_the_submit_is_noticed(session: Session, tree: Path, change: str) -> None:
    path = tree / "sub" / "file"
    if change in {"add", "link"}:
        directory(tree)
    else:
        file(path)
    if change == "write":
        os.utime(path, ns=(1, 1))
    elif change == "replace":
        path.rename(tree / "old")
        path.write_bytes(bytes(UPLOAD_CHUNK_BYTES + 5))
    elif change == "remove":
        path.unlink()
    elif change == "add":
        (tree / "sub" / "more").write_text("")
    else:
        path.rename(tree / "old")
        path.symlink_to("../old")
    order = session._graph.order()
    assert order is not None
    with pytest.raises(RainException, match="changed after"):
        check_on_disk(order)


def test_paths_of_this_machine_that_cannot_be_are_refused(session: Session, tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    for make, path, complaint in [
        (file, tree, r"no regular file; a folder becomes a data object by directory\(path\)"),
        (file, tree / "pipe", "no regular file"),
        (file, tree / "nothing", "cannot be read: No such file"),
        (file, 7, "expected a path as text"),
        (directory, tree / "nothing", "is not there"),
        (directory, tree / "sub" / "file", r"is a file; file\(path\) takes one"),
        (directory, tree, "named pipe"),
        (directory, "", "expected a path as text"),
    ]:
        with pytest.raises(RainException, match=complaint):
            make(path)  # type: ignore[arg-type]
    with pytest.raises(RainException, match="content type"):
        file(tree / "sub" / "file", content_type="no/such")
    assert session.dataobj_count == 0
