"""Directories in tasks: as folders of programs and functions, and put together, taken apart, loaded and stored."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest

from rain.core.failure import Cause
from rain.core.ids import object_name
from rain.core.kinds import ExecuteArgs, InputWord, Kind, MakeDirectoryArgs, PathArgs, PythonConfig, TextWord
from rain.core.spec import OutputSpec, TaskSpec
from rain.data.dump import dump_call
from rain.data.tree_archive import TreeArchive
from rain.data.tree_files import seal_tree
from rain.data.unpack import unpack
from rain.protocol.executor import MAX_PIPE_RESULT, Produced, RunInput
from tests.unit.executor.forkserver_bench import ONE_OUTPUT, SESSION, inline_input, python_spec

LARGE = bytes(MAX_PIPE_RESULT + 1)
DIRECTORY = OutputSpec("out", "dir", path="out", is_directory=True)
WITH_CONTEXT = PythonConfig(with_context=True)


def encoded(args):
    return msgspec.msgpack.encode(args)


def grow(root: Path, large: bool) -> Path:
    """A tree with a file, a program, a folder with nothing in it and, if large, more than travels in a message."""
    (root / "sub" / "empty").mkdir(parents=True)
    (root / "name.txt").write_text("content")
    (root / "sub" / "ü").write_bytes(LARGE if large else b"u")
    (root / "sub" / "run").write_text("#!/bin/sh\necho run\n")
    (root / "sub" / "run").chmod(0o755)
    return root


@pytest.fixture(params=["in memory", "in the store"])
def given(bench, request, tmp_path) -> RunInput:
    """The tree as an input, in both forms."""
    root = grow(tmp_path / "tree", large=request.param == "in the store")
    archive = TreeArchive(root)
    if request.param == "in memory":
        return RunInput(1, archive.size, "dir", archive.read(0, archive.size), None)
    return stored_tree(bench, root)


def stored_tree(bench, root: Path) -> RunInput:
    path = bench.root / "store" / object_name(SESSION, 1)
    seal_tree(root)
    if path.exists():
        path.rename(path.with_name(f"old-{os.urandom(4).hex()}"))
    root.rename(path)
    return RunInput(1, TreeArchive(path).size, "dir", None, str(path))


def contents(bench, produced: Produced, tmp_path: Path, task: int | None = None) -> dict[str, bytes | None]:
    """What a directory output has, None for folders."""
    assert produced.content_type == "dir"
    root = bench.stored_result(task or bench.n_tasks) if produced.data is None else tmp_path / f"got-{bench.n_tasks}"
    if produced.data is not None:
        unpack(produced.data, root)
    assert TreeArchive(root).size == produced.size
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes() for path in sorted(root.rglob("*"))
    }


def execute(bench, command, *outputs, inputs=(), files=(), fails=False):
    spec = TaskSpec(kind=Kind.EXECUTE, outputs=outputs)
    args = encoded(ExecuteArgs((TextWord(command),), shell=True, files=files))
    return bench.failure(spec, *inputs, args=args) if fails else bench.done(spec, *inputs, args=args)


# ------------------------------------------------------------------------------------------ programs


def test_a_program_finds_a_directory_as_a_real_folder_and_leaves_one(bench, given, tmp_path):
    [produced] = execute(
        bench,
        "test ! -h in && cp -r in out && rm out/name.txt && in/sub/run > out/printed",
        DIRECTORY,
        inputs=[given],
        files=[InputWord(0, "in", is_directory=True)],
    )
    found = contents(bench, produced, tmp_path)
    assert sorted(found) == ["printed", "sub", "sub/empty", "sub/run", "sub/ü"]
    assert found["printed"] == b"run\n"


def test_the_files_of_a_large_directory_are_the_stores_own(bench, tmp_path):
    given = stored_tree(bench, grow(tmp_path / "tree", large=True))
    execute(
        bench, "stat -c %i in/sub/ü > inode", OutputSpec("i", path="inode"), inputs=[given], files=[InputWord(0, "in")]
    )
    spec = TaskSpec(kind=Kind.EXECUTE, outputs=(DIRECTORY, OutputSpec("f", path="in/sub/ü")))
    args = encoded(
        ExecuteArgs(
            (TextWord("mkdir out; mv in/sub/run out; ln in/sub/ü out/ü"),), shell=True, files=(InputWord(0, "in"),)
        )
    )
    bench.done(spec, given, args=args)
    inode = Path(f"{given.path}/sub/ü").stat().st_ino
    made = bench.stored_result(bench.n_tasks)
    assert (made / "ü").stat().st_ino == inode, "linked into an output"
    assert bench.stored_result(bench.n_tasks, 1).stat().st_ino == inode, "an output inside the input"


def test_a_program_may_write_to_copies_of_its_own(bench, given, tmp_path):
    [produced] = execute(
        bench,
        "printf more >> d/name.txt",
        OutputSpec("d", "dir", path="d", is_directory=True),
        inputs=[given],
        files=[InputWord(0, "d", write=True)],
    )
    assert contents(bench, produced, tmp_path)["name.txt"] == b"contentmore"
    if given.path is not None:
        assert Path(given.path, "name.txt").read_text() == "content"


def test_an_output_may_lie_in_an_input_directory(bench, given):
    [file, folder] = execute(
        bench,
        "printf new > d/new; mkdir d/more; touch d/more/x",
        OutputSpec("new", path="d/new"),
        OutputSpec("more", path="d/more"),
        inputs=[given],
        files=[InputWord(0, "d")],
    )
    assert file.data == b"new"
    assert folder.content_type == "dir"


def test_a_program_that_changes_an_input_directory_fails_and_the_directory_goes(bench, tmp_path):
    given = stored_tree(bench, grow(tmp_path / "tree", large=True))
    failure = execute(
        bench, "chmod u+w d/name.txt; echo x >> d/name.txt", inputs=[given], files=[InputWord(0, "d")], fails=True
    )
    assert "changed a file of its input 'd'" in failure.message
    assert not Path(given.path or "").exists()


def test_stored_files_are_older_than_any_write_to_them(bench, tmp_path):
    # A clock that moves in steps gives a file that is written to at once the time that it had.
    command = "mkdir d; head -c 100000 /dev/zero | tee d/f > f"
    spec = TaskSpec(kind=Kind.EXECUTE, outputs=(OutputSpec(path="f"), OutputSpec(path="d", is_directory=True)))
    bench.done(spec, args=encoded(ExecuteArgs((TextWord(command),), shell=True)))
    stored, tree = bench.stored_result(bench.n_tasks), bench.stored_result(bench.n_tasks, 1)
    with TreeArchive(tree).open() as archive:
        unpack(archive, tmp_path / "unpacked", read_only=True)
    for path in (stored, tree / "f", tmp_path / "unpacked" / "f"):
        assert_is_dated_back(path)


def assert_is_dated_back(path: Path) -> None:
    status = path.stat()
    assert status.st_mtime_ns <= status.st_ctime_ns - 900_000_000, path


def test_a_mode_that_a_program_changed_is_set_back(bench, tmp_path):
    given = stored_tree(bench, grow(tmp_path / "tree", large=True))
    execute(bench, "chmod -R u+w d", inputs=[given], files=[InputWord(0, "d")])
    assert stat.S_IMODE(Path(f"{given.path}/name.txt").stat().st_mode) == 0o444


@pytest.mark.parametrize(
    ("command", "outputs", "complaint"),
    [
        ("touch out", (DIRECTORY,), "output 'out' is a file, a folder was expected"),
        ("true", (DIRECTORY,), "the program made no output 'out'"),
        ("mkdir out", (OutputSpec("t", "text", path="out"),), "no subtype of 'text'"),
        ("touch f", (OutputSpec("f", "dir", path="f"),), "only a folder can be typed 'dir'"),
        ("mkdir out; ln -s /etc out/etc", (DIRECTORY,), "leads out of the directory"),
        ("mkdir out; mkfifo out/p", (DIRECTORY,), "is a named pipe"),
        ("mkdir out; touch out/a", (DIRECTORY, OutputSpec("a", path="out/a")), "'out/a' lies in output 'out'"),
    ],
)
def test_outputs_that_are_no_directories_are_named(bench, command, outputs, complaint):
    failure = execute(bench, command, *outputs, fails=True)
    assert failure.cause is Cause.TASK
    assert complaint in failure.message


def test_a_blob_is_no_input_directory_and_no_program_reads_a_directory(bench, given):
    blob = inline_input(2, b"x")
    word = InputWord(0, "in", is_directory=True)
    assert "InputDir takes a directory" in execute(bench, "true", inputs=[blob], files=[word], fails=True).message
    spec = TaskSpec(kind=Kind.EXECUTE, outputs=())
    args = encoded(ExecuteArgs((TextWord("true"),), stdin=InputWord(0)))
    assert "stdin is a directory" in bench.failure(spec, given, args=args).message


def test_bytes_that_are_no_tar_fail_the_task_that_takes_them_for_one(bench):
    given = inline_input(1, b"no tar" * 200, "dir")
    failure = execute(bench, "true", inputs=[given], files=[InputWord(0, "in")], fails=True)
    assert "These bytes are no tar" in failure.message


# ------------------------------------------------------------------------------------------ functions


class Reference:
    """Stands for an input among the arguments."""


def call(bench, function, *inputs, fails=False, outputs=ONE_OUTPUT, config=WITH_CONTEXT):
    references = [Reference() for _ in inputs]
    args = dump_call(
        tuple(references), {}, lambda value: references.index(value) if isinstance(value, Reference) else None
    )
    spec = python_spec(function, outputs=outputs, config=config)
    return bench.failure(spec, *inputs, args=args) if fails else bench.done(spec, *inputs, args=args)


def test_a_function_reads_writes_and_links_a_directory(bench, given, tmp_path):
    def work(ctx, d):
        assert d.data_type == "directory"
        assert (d.path / "name.txt").read_text() == "content"
        assert d.size == len(d.get_bytes())
        d.write("own")
        with Path("own/name.txt").open("a") as file:
            file.write(" of my own")
        d.link("own/linked")
        return ctx.stage_directory("own")

    [produced] = call(bench, work, given)
    found = contents(bench, produced, tmp_path)
    assert found["name.txt"] == b"content of my own"
    assert found["linked/name.txt"] == b"content"
    assert found["linked/sub/empty"] is None
    left = {path.name for path in (bench.root / "tasks" / "e1").iterdir()}
    assert "inputs" not in left
    assert "staged" not in left


def test_a_directory_that_is_passed_on_is_not_copied(bench, given):
    def same(ctx, d):
        return d

    assert call(bench, same, given) == (Produced(given.size, "dir", same_as_input=0),)


def test_a_function_that_changes_its_input_directory_fails(bench, tmp_path):
    given = stored_tree(bench, grow(tmp_path / "tree", large=True))

    def spoil(ctx, d):
        (d.path / "sub" / "more").write_text("x")
        return b""

    assert "changed the files of its input s7.o1" in call(bench, spoil, given, fails=True).message
    assert not Path(given.path or "").exists()


def test_a_tar_and_somebody_elses_folder_become_directories(bench, tmp_path):
    grow(tmp_path / "tree", large=True)

    def tar(ctx):
        return ctx.blob(data, content_type="dir")

    def other(ctx):
        from rain.data.instance import DataInstance

        return DataInstance(path=where, content_type="dir")

    where = str(tmp_path / "tree")
    archive = TreeArchive(where)
    data = archive.read(0, archive.size)
    expected = {"name.txt", "sub", "sub/empty", "sub/run", "sub/ü"}
    for function in (tar, other):
        [produced] = bench.done(python_spec(function, config=WITH_CONTEXT))
        assert set(contents(bench, produced, tmp_path)) == expected
        assert Path(bench.stored_result(bench.n_tasks) / "name.txt").stat().st_mode & 0o777 == 0o444
    assert Path(tmp_path / "tree" / "name.txt").stat().st_mode & 0o200, "its owner's is as it was"


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        ("os.symlink('/etc/passwd', 'd/link')", "leads out of the directory"),
        ("os.mkfifo('d/pipe')", "is a named pipe"),
        ("os.symlink('d', 'd/round')", "not there"),
    ],
)
def test_a_folder_that_cannot_be_a_directory_fails_the_task(bench, make, complaint):
    def work(ctx):
        Path("d").mkdir()
        exec(make, {"os": os})
        return ctx.stage_directory("d")

    assert complaint in bench.failure(python_spec(work, config=WITH_CONTEXT)).message


@pytest.mark.parametrize(
    ("where", "complaint"), [("/tmp", "must lie in the task's folder"), (".", "must lie in"), ("no", "not there")]
)
def test_only_a_folder_of_the_tasks_own_can_be_staged(bench, where, complaint):
    def work(ctx):
        return ctx.stage_directory(where)

    assert complaint in bench.failure(python_spec(work, config=WITH_CONTEXT)).message


def test_bytes_for_a_directory_have_to_be_a_tar(bench):
    def work(ctx):
        return b"no tar"

    failure = bench.failure(python_spec(work, outputs=(DIRECTORY,), config=WITH_CONTEXT))
    assert "returned bytes for a directory" in failure.message


# ------------------------------------------------------------------------------------------ built-ins


def make(bench, parts, *, fails=False):
    spec = TaskSpec(kind=Kind.MAKE_DIRECTORY, outputs=(DIRECTORY,))
    args = encoded(MakeDirectoryArgs(tuple(path for path, _ in parts)))
    inputs = [given for _, given in parts]
    return bench.failure(spec, *inputs, args=args) if fails else bench.done(spec, *inputs, args=args)[0]


def test_a_directory_is_put_together(bench, given, tmp_path):
    large = bench.stored_input(5, LARGE)
    parts = [
        ("a/b/small", inline_input(4, b"4")),
        ("tree/", given),
        ("tree/more", inline_input(6, b"6")),
        ("./large", large),
    ]
    produced = make(bench, parts)
    found = contents(bench, produced, tmp_path)
    assert found["a/b/small"] == b"4"
    assert found["tree/more"] == b"6"
    assert found["tree/sub/empty"] is None
    assert (bench.stored_result(bench.n_tasks) / "large").stat().st_ino == Path(large.path or "").stat().st_ino


def test_nothing_makes_an_empty_directory_and_a_directory_can_be_the_root(bench, given, tmp_path):
    assert contents(bench, make(bench, []), tmp_path) == {}
    found = contents(bench, make(bench, [("x", inline_input(3, b"")), ("./", given)]), tmp_path)
    assert found["x"] == b""
    assert found["name.txt"] == b"content"


def test_what_only_the_worker_can_see_about_parts_is_said(bench, given):
    blob = inline_input(4, b"4")
    assert "is a blob; a slash at the end asks for a directory" in make(bench, [("a/", blob)], fails=True).message
    assert "is a directory; to put it there write 'a/'" in make(bench, [("a", given)], fails=True).message
    assert "two inputs for 'a/name.txt'" in make(bench, [("a/name.txt", blob), ("a/", given)], fails=True).message
    assert "'a/name.txt' is a file" in make(bench, [("a/name.txt/x", blob), ("a/", given)], fails=True).message


def cut(bench, given, path, *, fails=False, outputs=ONE_OUTPUT):
    spec, args = TaskSpec(kind=Kind.SLICE_DIRECTORY, outputs=outputs), encoded(PathArgs(path))
    return bench.failure(spec, given, args=args) if fails else bench.done(spec, given, args=args)[0]


def test_a_part_is_taken_out_without_a_copy(bench, given, tmp_path):
    assert cut(bench, given, "name.txt") == Produced(7, None, b"content")
    assert set(contents(bench, cut(bench, given, "sub/"), tmp_path)) == {"empty", "run", "ü"}
    assert contents(bench, cut(bench, given, "sub/empty/"), tmp_path) == {}
    produced = cut(bench, given, "sub/ü")
    if given.path is not None:
        assert produced.size == len(LARGE)
        assert bench.stored_result(bench.n_tasks).stat().st_ino == Path(f"{given.path}/sub/ü").stat().st_ino


def test_parts_that_are_not_there_are_named_with_what_is(bench, given):
    assert "it has 'name.txt', 'sub/'" in cut(bench, given, "nothing", fails=True).message
    assert "write 'sub/'" in cut(bench, given, "sub", fails=True).message
    assert "only of a directory" in cut(bench, inline_input(2, b"x"), "x", fails=True).message


def test_a_folder_is_loaded_and_stored(bench, given, tmp_path):
    target = tmp_path / "made" / "stored"
    store = TaskSpec(kind=Kind.STORE, outputs=())
    bench.done(store, given, args=encoded(PathArgs(str(target))))
    assert (target / "sub" / "run").stat().st_mode & 0o777 == 0o755, "its user's own"
    assert list(target.parent.iterdir()) == [target]
    load = TaskSpec(kind=Kind.LOAD_DIRECTORY, outputs=(DIRECTORY,))
    [produced] = bench.done(load, args=encoded(PathArgs(str(target))))
    assert produced.size == given.size
    assert (target / "name.txt").stat().st_mode & 0o777 == 0o644, "as it was"


def test_a_folder_is_stored_again_where_it_is_whole_but_never_over_another(bench, given, tmp_path):
    target = tmp_path / "stored"
    target.mkdir()
    store, args = TaskSpec(kind=Kind.STORE, outputs=()), encoded(PathArgs(str(target)))
    for _ in range(2):
        # Into an empty folder, then as an attempt does that follows one whose report was lost.
        assert bench.done(store, given, args=args) == ()
    (target / "name.txt").write_text("CONTENT")
    assert "it exists with other files in it" in bench.failure(store, given, args=args).message
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert (target / "name.txt").read_text() == "CONTENT"


def test_what_cannot_be_loaded_or_stored_or_joined_is_said(bench, given, tmp_path):
    load = TaskSpec(kind=Kind.LOAD_DIRECTORY, outputs=(DIRECTORY,))
    (tmp_path / "file").write_text("")
    (tmp_path / "odd").mkdir()
    os.mkfifo(tmp_path / "odd" / "pipe")
    for name, complaint in [("file", "is no folder"), ("nothing", "there is no folder"), ("odd", "is a named pipe")]:
        assert complaint in bench.failure(load, args=encoded(PathArgs(str(tmp_path / name)))).message
    store = TaskSpec(kind=Kind.STORE, outputs=())
    failure = bench.failure(store, given, args=encoded(PathArgs(f"{tmp_path}/file/below")))
    assert "cannot write" in failure.message
    concat = TaskSpec(kind=Kind.CONCAT)
    assert "an input is a directory" in bench.failure(concat, given).message
