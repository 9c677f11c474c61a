"""A folder as the bytes of a tar: the right ones, the same ones everywhere, any range of them."""

from __future__ import annotations

import io
import os
import socket
import stat
import subprocess
import tarfile
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rain.core.errors import RainException
from rain.data.tree_archive import TreeArchive, _header, _header_size
from rain.data.tree_names import TreeLimits
from rain.data.tree_removal import remove_tree
from rain.data.unpack import unpack
from tests.unit.data.trees import found, make, make_deep

NAMES = st.one_of(
    st.sampled_from(
        ["a", "b", "data.txt", "with blank", "žluťoučký", "日本", "-rf", "new\nline", "n" * 130, "é" * 100]
    ),
    st.text("abc", min_size=1, max_size=3),
)
#: A file is its bytes and whether it is executable, a folder its members by name.
FILES = st.tuples(st.binary(max_size=1500), st.booleans())
TREES = st.dictionaries(
    NAMES, st.recursive(FILES, lambda inner: st.dictionaries(NAMES, inner, max_size=4), max_leaves=8), max_size=5
)


def tar_of(folder: Path) -> bytes:
    archive = TreeArchive(folder)
    data = archive.read(0, archive.size)
    assert len(data) == archive.size
    return data


@settings(max_examples=60, deadline=None)
@given(tree=TREES, cuts=st.lists(st.floats(0, 1), max_size=8))
def test_a_tree_comes_back_as_it_was_and_any_range_of_its_bytes_can_be_read(tree, cuts):
    with tempfile.TemporaryDirectory() as name:
        folder = make(Path(name, "tree"), tree)
        archive = TreeArchive(folder)
        whole = io.BytesIO()
        archive.write_to(whole)
        data = whole.getvalue()
        assert len(data) == archive.size
        edges = sorted({0, archive.size, *(int(cut * archive.size) for cut in cuts)})
        for start, end in pairwise(edges):
            assert archive.read(start, end - start) == data[start:end]
        assert archive.read(archive.size - 10, 100) == data[-10:]
        assert archive.read(archive.size + 10, 100) == b""

        unpack(data, Path(name, "unpacked"))
        assert found(Path(name, "unpacked")) == tree
        assert tar_of(Path(name, "unpacked")) == data

        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            members = tar.getmembers()
            assert [(m.name + "/" * m.isdir(), m.size) for m in members] == archive.members
            for member in members:
                if member.isfile():
                    assert tar.extractfile(member).read() == (folder / member.name).read_bytes()


def test_gnu_tar_reads_it(tmp_path):
    tree = {
        "plain": (b"x" * 1000, False),
        "run": (b"#!/bin/sh\n", True),
        "empty": {},
        "é" * 60: {"d" * 90: {"deep ž": (b"1", False)}},
        "n" * 99: {"n" * 100: (b"", False)},
    }
    data = tar_of(make(tmp_path / "tree", tree))
    (tmp_path / "out").mkdir()
    done = subprocess.run(["tar", "xf", "-"], input=data, cwd=tmp_path / "out", capture_output=True, check=True)
    assert done.stderr == b""
    assert found(tmp_path / "out") == tree


def test_the_same_tree_has_the_same_bytes_whoever_made_it_and_when(tmp_path):
    tree = {"b": (b"1", False), "a": {"x": (b"2", True)}, "c": {}}
    one = make(tmp_path / "one", tree)
    other = make(tmp_path / "other", dict(reversed(tree.items())))
    (other / "b").chmod(0o4600)
    (other / "a/x").chmod(0o700)
    os.utime(other / "b", (1, 1))
    assert tar_of(one) == tar_of(other)
    with tarfile.open(fileobj=io.BytesIO(tar_of(other))) as tar:
        assert [member.mode for member in tar] == [0o755, 0o755, 0o644, 0o755]


def test_the_bytes_of_a_known_tree_are_known(tmp_path):
    data = tar_of(make(tmp_path / "t", {"a": (b"hello", False)}))
    reference = tarfile.TarInfo("a")
    reference.size = 5
    expected = reference.tobuf(tarfile.USTAR_FORMAT) + b"hello" + bytes(507) + bytes(1024)
    # Everything but the checksum, which has two customary forms of the same number.
    assert (data[:148], data[156:]) == (expected[:148], expected[156:])
    assert tar_of(make(tmp_path / "empty", {})) == bytes(1024)


def test_sizes_beyond_eight_gigabytes_are_in_the_headers():
    size = 20 << 30
    header = _header("large", 0, size)
    assert len(header) == _header_size("large", 0, size) == 3 * 512
    with tarfile.open(fileobj=io.BytesIO(header), mode="r|") as tar:
        assert tar.next().size == size


def test_a_hole_of_ten_gigabytes_can_be_read_behind(tmp_path):
    folder = make(tmp_path / "t", {"end": (b"the end", False)})
    with (folder / "big").open("wb") as file:
        file.truncate(10 << 30)
    archive = TreeArchive(folder)
    assert archive.content_size == (10 << 30) + 7
    assert archive.read(archive.size - 1536, 7) == b"the end"
    assert archive.read(5 << 30, 4) == bytes(4)


def test_it_can_be_read_as_a_file(tmp_path):
    folder = make(tmp_path / "t", {"a": (b"1" * 3000, False), "b": (b"2", False)})
    archive = TreeArchive(folder)
    with archive.open() as file, tarfile.open(fileobj=file, mode="r:") as tar:
        assert tar.extractfile("b").read() == b"2"
        assert tar.extractfile("a").read() == b"1" * 3000
        assert file.seek(0, os.SEEK_END) == archive.size


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"shorter"),
        lambda path: os.utime(path, (5, 5)),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.symlink_to("/etc/passwd")),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: (path.parent.rename(f"{path.parent}2"), path.parent.symlink_to(f"{path.parent}2")),
    ],
    ids=["size", "time", "gone", "link", "pipe", "folder is a link"],
)
def test_a_file_that_changed_since_is_an_error(tmp_path, change):
    folder = make(tmp_path / "t", {"sub": {"file": (b"content" * 10, False)}})
    archive = TreeArchive(folder)
    change(folder / "sub/file")
    with pytest.raises(RainException, match="sub/file' changed while"):
        archive.read(0, archive.size)


def n_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_reading_leaves_no_file_open(tmp_path):
    folder = make(tmp_path / "t", {f"d{i}": {"f": (b"x", False)} for i in range(30)})
    before = n_open()
    archive = TreeArchive(folder)
    archive.read(0, archive.size)
    archive.read(700, 1)
    assert n_open() == before


def test_links_inside_become_what_they_point_at(tmp_path):
    folder = make(tmp_path / "t", {"lib": {"lib.so.1": (b"code", True)}, "sub": {"deep": {}}})
    (folder / "lib/lib.so").symlink_to("lib.so.1")
    (folder / "lib64").symlink_to("lib")
    (folder / "sub/deep/up").symlink_to("../../lib64/lib.so")
    (folder / "absolute").symlink_to(folder / "lib/lib.so.1")
    unpack(tar_of(folder), tmp_path / "out")
    code = (b"code", True)
    lib = {"lib.so": code, "lib.so.1": code}
    assert found(tmp_path / "out") == {"lib": lib, "lib64": lib, "absolute": code, "sub": {"deep": {"up": code}}}
    # The tree with links and the one without are the same data.
    assert tar_of(tmp_path / "out") == tar_of(folder)


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("/etc/passwd", "out of the directory"),
        ("../../outside", "out of the directory"),
        ("../sub/../../t2", "out of the directory"),
        ("nothing", "not there"),
        ("link", "in circles"),
        ("..", "never end"),
        (".", "never end"),
        ("../sub", "never end"),
        ("file/x", "not there"),
    ],
)
def test_links_that_do_not_resolve_inside_are_refused(tmp_path, target, complaint):
    folder = make(tmp_path / "t", {"sub": {"file": (b"", False)}})
    make(tmp_path / "t2", {"secret": (b"", False)})
    (folder / "sub/link").symlink_to(target)
    with pytest.raises(RainException, match=f"sub/link' .*{complaint}"):
        TreeArchive(folder)


def test_a_link_through_a_link_that_leaves_the_tree_is_refused(tmp_path):
    folder = make(tmp_path / "t", {"a": {}})
    (folder / "a/out").symlink_to("../..")
    (folder / "through").symlink_to("a/out/t2/secret")
    make(tmp_path / "t2", {"secret": (b"", False)})
    (folder / "a/out").rename(folder / "zz")
    (folder / "through").unlink()
    (folder / "through").symlink_to("zz/t2/secret")
    with pytest.raises(RainException, match="out of the directory"):
        TreeArchive(folder)


def test_links_that_multiply_a_tree_meet_the_limit(tmp_path):
    folder = make(tmp_path / "t", {"l0": {"file": (b"", False)}})
    for i in range(1, 30):
        make(folder / f"l{i}", {})
        (folder / f"l{i}/a").symlink_to(f"../l{i - 1}")
        (folder / f"l{i}/b").symlink_to(f"../l{i - 1}")
    with pytest.raises(RainException, match="more than 1000 files"):
        TreeArchive(folder, TreeLimits(max_members=1000))


def test_what_is_no_file_and_no_folder_is_refused_by_name(tmp_path):
    folder = make(tmp_path / "t", {"sub": {}})
    os.mkfifo(folder / "sub/pipe")
    with pytest.raises(RainException, match="sub/pipe' is a named pipe"):
        TreeArchive(folder)
    (folder / "sub/pipe").unlink()
    # A socket's path is short.
    with socket.socket(socket.AF_UNIX) as listener, tempfile.TemporaryDirectory(dir="/tmp") as short:
        listener.bind(f"{short}/s")
        with pytest.raises(RainException, match="/s' is a socket"):
            TreeArchive(short)
    with pytest.raises(RainException, match="cannot be read"):
        TreeArchive(folder / "missing")


def test_a_device_is_refused(tmp_path):
    folder = make(tmp_path / "t", {})
    try:
        os.mknod(folder / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    with pytest.raises(RainException, match="null' is a device"):
        TreeArchive(folder)


@pytest.mark.parametrize(("name", "complaint"), [(b"latin-\xe9", "not UTF-8"), ("e\u0301".encode(), "composed form")])
def test_names_that_would_be_others_elsewhere_are_refused(tmp_path, name, complaint):
    folder = make(tmp_path / "t", {})
    Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).touch()
    with pytest.raises(RainException, match=complaint):
        TreeArchive(folder)


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        (TreeLimits(max_members=2), "more than 2 files"),
        (TreeLimits(max_bytes=9), "more than 9 bytes"),
        (TreeLimits(max_depth=2), "nested 2 deep"),
        (TreeLimits(max_path_bytes=4), "at most 4 bytes"),
    ],
)
def test_trees_beyond_a_limit_are_refused(tmp_path, limits, complaint):
    folder = make(tmp_path / "t", {"a": {"b": {"c": (b"0123456789", False)}}})
    assert TreeArchive(folder, TreeLimits(3, 10, 5, 3)).size
    with pytest.raises(RainException, match=complaint):
        TreeArchive(folder, limits)


def test_a_tree_deeper_than_any_path_is_refused_and_not_walked_to_its_end(tmp_path):
    top = make_deep(tmp_path / "t", 400)
    with pytest.raises(RainException, match="nested 128 deep"):
        TreeArchive(top)
    remove_tree(top)


def test_at_the_deepest_that_is_allowed_everything_works(tmp_path):
    top = make_deep(tmp_path / "t", 128)
    data = tar_of(top)
    unpack(data, tmp_path / "out")
    assert tar_of(tmp_path / "out") == data
