"""Directories through the whole cluster: from the client's disk, in and out of tasks on two workers, and back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rain.client import (
    Client,
    DataInstance,
    Input,
    InputDir,
    OutputDir,
    Program,
    RainException,
    Session,
    TaskException,
    blob,
    directory,
    file,
    remote,
    tasks,
)
from rain.client.local import LocalRain, local

LIMIT_S = 20.0
LARGE = 20 << 20


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with a large file, a program, an empty folder and names that are not ASCII."""
    root = tmp_path / "tree"
    (root / "größe" / "empty").mkdir(parents=True)
    (root / "größe" / "large").write_bytes(os.urandom(1 << 20) * 20)
    (root / "name with blanks").write_text("here")
    (root / "run").write_text("#!/bin/sh\necho ran\n")
    (root / "run").chmod(0o755)
    return root


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[LocalRain, Client]]:
    """Two workers of one cpu each, so that two tasks at the same time are on both."""
    with local(workers=2, cpus=1) as running, running.client() as client:
        yield running, client


@pytest.fixture
def session2(two: tuple[LocalRain, Client]) -> Iterator[Session]:
    """A session of that cluster."""
    with two[1].new_session() as session:
        yield session


def same(one: Path, other: Path) -> bool:
    def found(root: Path) -> dict[str, Any]:
        return {
            str(path.relative_to(root)): None
            if path.is_dir()
            else (path.read_bytes(), bool(path.stat().st_mode & 0o100))
            for path in root.rglob("*")
        }

    return found(one) == found(other)


@remote(outputs=OutputDir("out"))
def grown(ctx: Any, given: Any, name: str, wait_for: str = "") -> DataInstance:
    """The directory with a file more; it waits until another task runs, too."""
    import time

    if wait_for:
        Path(wait_for, name).touch()
        deadline = time.monotonic() + 20
        while len(list(Path(wait_for).iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.005)
    given.link("out")
    Path("out", name).write_text(name)
    staged: DataInstance = ctx.stage_directory("out")
    return staged


def test_a_directory_goes_through_a_program_and_comes_back(session: Session, tree: Path, tmp_path: Path) -> None:
    program = Program(["cp", "-r", InputDir("in"), OutputDir("out")])
    result = session.compute(program(**{"in": directory(tree)}), timeout=LIMIT_S)
    assert result.data_type == "directory"
    result.write(tmp_path / "back")
    assert same(tree, tmp_path / "back")


def test_directories_travel_between_workers(session2: Session, tree: Path, tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    source = directory(tree)
    both = [grown(source, name, str(meeting)) for name in ("left", "right")]
    joined = tasks.make_directory({"l/": both[0], "r/": both[1]})
    listing = tasks.execute("ls in/l in/r", shell=True, stdout=True, input_paths=[InputDir("in", dataobj=joined)])
    for task in (*both, joined, listing):
        task.keep_outputs()
    session2.submit()
    assert "left\nname with blanks" in listing.output.fetch(timeout=LIMIT_S).get_str()
    session2.update(both)
    assert len({task.info.worker for task in both if task.info is not None}) == 2, "each ran on a worker of its own"
    joined.output.fetch().write(tmp_path / "back")
    for name, folder in (("left", "l"), ("right", "r")):
        assert (tmp_path / "back" / folder / name).read_text() == name
        (tmp_path / "back" / folder / name).unlink()
        assert same(tree, tmp_path / "back" / folder)


def test_no_copy_is_made_where_none_is_needed(tree: Path) -> None:
    with local(workers=1, cpus=1) as alone, alone.client() as client, client.new_session() as session:
        first = tasks.execute(
            "stat -c %i in/größe/large; mv in out",
            shell=True,
            stdout=True,
            input_paths=[InputDir("in", dataobj=directory(tree))],
            output_paths=[OutputDir("out")],
        )
        part = tasks.slice_directory(first.outputs["out"], "größe/")
        again = tasks.make_directory({"a/b": tasks.slice_directory(part, "large"), "c/": part})
        last = tasks.execute(
            "stat -c %i in/a/b in/c/large", shell=True, stdout=True, input_paths=[Input("in", dataobj=again)]
        )
        printed = session.compute(first.outputs["stdout"], last, timeout=LIMIT_S)
        assert len({inode for each in printed for inode in str(each).split()}) == 1, "it was written once, on arrival"


def test_python_tasks_pass_directories_on(session: Session, tree: Path, tmp_path: Path) -> None:
    @remote()
    def passed(ctx: Any, given: Any) -> Any:
        assert (given.path / "größe" / "empty").is_dir()
        return given

    @remote()
    def counted(ctx: Any, given: Any) -> str:
        return " ".join(sorted(path.name for path in given.path.rglob("*")))

    out = passed(passed(directory(tree)))
    found = session.compute(out, counted(out), counted(tasks.sleep(out, 0.0)), timeout=LIMIT_S)
    found[0].write(tmp_path / "back")
    assert same(tree, tmp_path / "back")
    assert str(found[1]) == str(found[2]) == "empty größe large name with blanks run"


def test_a_thousand_small_blobs_become_a_directory(session: Session, tmp_path: Path) -> None:
    made = tasks.make_directory([(f"{i % 10}/{i}", blob(b"%d" % i)) for i in range(1000)])
    session.compute(made, timeout=LIMIT_S).write(tmp_path / "back")
    assert (tmp_path / "back" / "7" / "997").read_bytes() == b"997"
    assert sum(path.is_file() for path in (tmp_path / "back").rglob("*")) == 1000


def test_a_slice_of_a_slice(session: Session) -> None:
    made = tasks.make_directory({"a/b/c/file": blob("deep"), "a/b/other": blob("x")})
    inner = tasks.SliceDirectory(tasks.SliceDirectory(made, "a/"), "b/")
    found = session.compute(tasks.slice_directory(inner, "c/file"), inner, timeout=LIMIT_S)
    assert found[0] == b"deep"
    assert (found[1].path / "other").read_bytes() == b"x"


def test_an_empty_directory_stays_one(session: Session, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    moved = tasks.execute(
        ["cp", "-r", InputDir(dataobj=directory(tmp_path / "nothing")), OutputDir("out")], name="moved"
    )
    found = session.compute(tasks.make_directory(), moved, timeout=LIMIT_S)
    for number, each in enumerate(found):
        each.write(tmp_path / str(number))
        assert list((tmp_path / str(number)).iterdir()) == []


def test_a_folder_of_the_workers_machine_is_loaded_and_stored(session: Session, tree: Path, tmp_path: Path) -> None:
    loaded = tasks.load_dir(tree)
    stored = tasks.store(loaded, tmp_path / "out" / "copy")
    loaded.output.keep()
    session.submit()
    stored.wait(LIMIT_S)
    assert same(tree, tmp_path / "out" / "copy")
    assert loaded.output.fetch(LIMIT_S) == session.compute(directory(tree), timeout=LIMIT_S), "byte for byte"


def test_files_and_folders_are_streamed_again_for_later_submits(session: Session, tree: Path) -> None:
    large, small = file(tree / "größe" / "large"), file(tree / "run", content_type="text")
    folder = directory(tree)
    for _ in range(2):
        counts = [tasks.execute(["wc", "-c"], stdin=each, stdout=True) for each in (large, small)]
        listed = tasks.execute("ls in", shell=True, stdout=True, input_paths=[InputDir("in", dataobj=folder)])
        found = session.compute(*counts, listed, timeout=LIMIT_S)
        assert [int(str(each)) for each in found[:2]] == [LARGE, 19]
        assert "name with blanks" in str(found[2])
    assert small.content_type == "text"


def test_kept_constants_on_disk_are_fetched_from_where_they_were_sent(session: Session, tree: Path) -> None:
    large = file(tree / "größe" / "large").keep()
    session.submit()
    before = (tree / "größe" / "large").read_bytes()
    (tree / "größe" / "large").write_bytes(b"changed")
    assert large.fetch(LIMIT_S) == before


def test_what_changed_before_the_submit_is_an_error_and_nothing_is_sent(client: Client, tree: Path) -> None:
    with client.new_session(fail_fast=False) as session:
        changed, whole = file(tree / "größe" / "large"), directory(tree)
        count = tasks.execute(["wc", "-c"], stdin=changed, stdout=True)
        listed = tasks.execute("ls in", shell=True, stdout=True, input_paths=[InputDir("in", dataobj=whole)])
        path = tree / "größe" / "large"
        before, status = path.read_bytes(), path.stat()
        (tree / "größe" / "large").write_bytes(b"changed")
        with pytest.raises(RainException, match=r"large' changed after file\(\) was called"):
            session.submit()
        assert (count.state, listed.state) == (None, None)
        # As if nothing had happened to it.
        with path.open("r+b") as opened:
            opened.write(before)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        session.submit()
        session.wait_all(LIMIT_S)


def test_a_file_that_changes_while_it_is_sent_is_an_error_and_can_be_sent_later(
    session: Session, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tree / "größe" / "large"
    sent = file(path)
    count = tasks.execute(["wc", "-c"], stdin=sent, stdout=True)
    count.output.keep()
    constant = sent._constant
    status = path.stat()
    read = type(constant).read

    def read_and_touch(self: Any, offset: int, length: int) -> bytes:
        if offset >= LARGE // 2:
            os.utime(path, ns=(0, 0))
        found: bytes = read(self, offset, length)
        return found

    monkeypatch.setattr(type(constant), "read", read_and_touch)
    with pytest.raises(RainException, match="was written to"):
        session.submit()
    monkeypatch.undo()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    session.submit()
    assert int(str(count.output.fetch(LIMIT_S))) == LARGE


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("mkdir out; ln -s /etc/passwd out/link", "leads out of the directory"),
        ("mkdir out; mkfifo out/pipe", "named pipe"),
        ("mkdir out; ln -s . out/round", "never end"),
        ("touch out", "a folder was expected"),
    ],
)
def test_malicious_trees_fail_their_task(client: Client, command: str, complaint: str) -> None:
    with client.new_session() as session:
        task = tasks.execute(command, shell=True, output_paths=[OutputDir("out")])
        with pytest.raises(TaskException, match=complaint):
            session.compute(task, timeout=LIMIT_S)


def test_bytes_that_are_no_tar_fail_the_task_that_reads_them(client: Client) -> None:
    for data in (b"no tar", b"no tar" * 100_000):
        with client.new_session() as session:
            wrong = blob(data, content_type="dir")
            task = tasks.execute("ls in", shell=True, stdout=True, input_paths=[InputDir("in", dataobj=wrong)])
            with pytest.raises(TaskException, match=r"These bytes are no tar|The archive ends in the middle"):
                session.compute(task, timeout=LIMIT_S)


def test_a_directory_is_expected_or_not(session: Session, tree: Path) -> None:
    folder = directory(tree)
    folder.expect_dir()
    with pytest.raises(TypeError, match="is a directory, and a blob was expected"):
        folder.expect_blob()
    with pytest.raises(RainException, match="is a directory, and a blob is needed"):
        tasks.concat(folder, blob("x"))
    with pytest.raises(TypeError, match="is a blob, and a directory was expected"):
        tasks.execute(["ls", InputDir(dataobj=blob("x"))])
    with pytest.raises(TypeError, match="is a blob, and a directory was expected"):
        Program(["ls", InputDir("in")])(**{"in": blob("x")})
