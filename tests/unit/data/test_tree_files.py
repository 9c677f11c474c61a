"""Trees on one machine: linked, copied, sealed, watched, removed, taken apart."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from rain.core.errors import RainException
from rain.data.tree_archive import TreeArchive
from rain.data.tree_files import link_tree, seal_tree, tree_fingerprint
from rain.data.tree_names import TreeLimits
from rain.data.tree_part import pick
from rain.data.tree_removal import remove_tree
from tests.unit.data.trees import found, make, make_deep

TREE = {"a": {"x": (b"1", False), "run": (b"2", True)}, "empty": {}, "f": (b"3", False)}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def tar_of(root: Path) -> bytes:
    archive = TreeArchive(root)
    return archive.read(0, archive.size)


@pytest.fixture
def tree(tmp_path):
    return make(tmp_path / "tree", TREE)


@pytest.fixture
def sealed(tree):
    seal_tree(tree)
    return tree


class TestLinking:
    def test_files_are_the_same_and_folders_are_not(self, sealed, tmp_path):
        link_tree(sealed, tmp_path / "out", write=False)
        assert found(tmp_path / "out") == TREE
        for path in sealed.rglob("*"):
            assert path.samefile(tmp_path / "out" / path.relative_to(sealed)) == path.is_file()
        (tmp_path / "out/a/new").touch()
        assert found(sealed) == TREE

    def test_a_copy_belongs_to_its_owner(self, sealed, tmp_path):
        link_tree(sealed, tmp_path / "out", write=True)
        assert found(tmp_path / "out") == TREE
        assert [mode(tmp_path / "out" / name) for name in ("", "a", "a/x", "a/run")] == [0o755, 0o755, 0o644, 0o755]
        (tmp_path / "out/f").write_text("changed")
        assert found(sealed) == TREE

    def test_read_only_copies_are_made_where_links_cannot_be(self, sealed, tmp_path, monkeypatch):
        def refuse(*args, **kwargs):
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        monkeypatch.setattr(os, "link", refuse)
        link_tree(sealed, tmp_path / "out", write=False)
        assert found(tmp_path / "out") == TREE
        assert mode(tmp_path / "out/a/x") == 0o444
        assert mode(tmp_path / "out/a/run") == 0o555
        assert not (sealed / "f").samefile(tmp_path / "out/f")

    def test_it_is_all_or_nothing(self, tree, tmp_path):
        (tree / "z").symlink_to("/etc/passwd")
        with pytest.raises(RainException, match="out of the directory"):
            link_tree(tree, tmp_path / "out", write=False)
        with pytest.raises(RainException, match="exists"):
            link_tree(tree, tree, write=False)
        with pytest.raises(RainException, match="No such file"):
            link_tree(tree / "missing", tmp_path / "out", write=True)
        with pytest.raises(RainException, match="more than 2 files"):
            link_tree(tree, tmp_path / "out", write=True, limits=TreeLimits(max_members=2))
        assert [path.name for path in tmp_path.iterdir()] == ["tree"]


class TestSealing:
    def test_files_become_read_only_and_the_content_stays(self, tree):
        before = tar_of(tree)
        seal_tree(tree)
        assert [mode(tree / name) for name in ("", "a", "a/x", "a/run")] == [0o755, 0o755, 0o444, 0o555]
        assert tar_of(tree) == before
        seal_tree(tree)
        assert tar_of(tree) == before

    def test_what_a_program_made_inaccessible_or_privileged_is_made_plain(self, tree):
        (tree / "f").chmod(0)
        (tree / "a/run").chmod(0o6700)
        (tree / "a").chmod(0)
        tree.chmod(0o2700)
        seal_tree(tree)
        assert [mode(tree / name) for name in ("", "a", "a/run", "f")] == [0o755, 0o755, 0o555, 0o444]

    def test_links_are_replaced_by_the_files_they_lead_to(self, tree):
        (tree / "b").symlink_to("a")
        (tree / "a/link").symlink_to("../f")
        (tree / "0").symlink_to(tree / "a/link")
        expected = tar_of(tree)
        seal_tree(tree)
        folder = {**TREE["a"], "link": TREE["f"]}
        assert found(tree) == {**TREE, "a": folder, "b": folder, "0": TREE["f"]}
        assert (tree / "b/x").samefile(tree / "a/x")
        assert (tree / "0").samefile(tree / "f")
        assert tar_of(tree) == expected

    def test_inputs_from_the_store_stay_linked_and_other_peoples_files_are_copied(self, tree, tmp_path):
        stored, foreign = tmp_path / "stored", tmp_path / "foreign"
        stored.write_text("input")
        stored.chmod(0o444)
        foreign.write_text("somebody's")
        foreign.chmod(0o640)
        os.link(stored, tree / "input")
        os.link(foreign, tree / "foreign")
        os.link(tree / "f", tree / "second name of f")
        seal_tree(tree)
        assert (tree / "input").samefile(stored)
        assert not (tree / "foreign").samefile(foreign)
        assert (tree / "foreign").read_text() == "somebody's"
        assert mode(tree / "foreign") == 0o444
        assert mode(foreign) == 0o640
        assert (tree / "second name of f").samefile(tree / "f")

    def test_what_is_no_file_is_refused(self, tree):
        os.mkfifo(tree / "a/pipe")
        with pytest.raises(RainException, match="a/pipe' is a named pipe"):
            seal_tree(tree)
        (tree / "link").symlink_to("a")
        for name in ("f", "link"):
            with pytest.raises(RainException, match="is no folder"):
                seal_tree(tree / name)
        with pytest.raises(RainException, match="No such file"):
            seal_tree(tree / "missing")


class TestFingerprint:
    def test_it_stays_while_others_link_and_read(self, sealed, tmp_path):
        before = tree_fingerprint(sealed)
        link_tree(sealed, tmp_path / "out", write=False)
        tar_of(sealed)
        remove_tree(tmp_path / "out")
        assert tree_fingerprint(sealed) == before

    @pytest.mark.parametrize(
        "change",
        [
            lambda tree: (tree / "a/x").write_bytes(b"longer"),
            lambda tree: os.utime(tree / "a/x", (1, 1)),
            lambda tree: (tree / "a/new").touch(),
            lambda tree: (tree / "a/new").mkdir(),
            lambda tree: (tree / "empty").rmdir(),
            lambda tree: (tree / "a/x").rename(tree / "a/y"),
            lambda tree: ((tree / "f").unlink(), (tree / "f").symlink_to("a")),
            lambda tree: os.mkfifo(tree / "pipe"),
        ],
        ids=["written", "touched", "file", "folder", "folder gone", "renamed", "link", "pipe"],
    )
    def test_any_change_changes_it(self, tree, change):
        before = tree_fingerprint(tree)
        change(tree)
        assert tree_fingerprint(tree) != before

    def test_a_tree_that_is_gone_is_an_error(self, tree):
        with pytest.raises(RainException, match="missing"):
            tree_fingerprint(tree / "missing")


class TestRemoving:
    def test_read_only_and_inaccessible_trees_go(self, sealed):
        for folder in (sealed / "a", sealed / "empty", sealed):
            folder.chmod(0o000)
        remove_tree(sealed)
        assert not sealed.exists()
        remove_tree(sealed)

    def test_links_go_and_what_they_point_at_stays(self, tree, tmp_path):
        (tree / "b").symlink_to("a")
        (tmp_path / "link").symlink_to(tree)
        remove_tree(tmp_path / "link")
        (tree / "a/out").symlink_to(tmp_path / "precious")
        make(tmp_path / "precious", TREE)
        remove_tree(tree)
        assert [path.name for path in tmp_path.iterdir()] == ["precious"]
        assert found(tmp_path / "precious") == TREE
        remove_tree(tmp_path / "precious/f")
        assert not (tmp_path / "precious/f").exists()

    def test_no_depth_is_too_deep(self, tmp_path):
        remove_tree(make_deep(tmp_path / "deep", 3000))
        assert [path.name for path in tmp_path.iterdir()] == []


class TestPicking:
    @pytest.mark.parametrize("path", ["a/x", "./a//x", "f", "a/", "a", "./", "link/x"])
    def test_a_path_inside_is_found(self, tree, path):
        (tree / "link").symlink_to("a")
        if path == "a":
            path = "empty/"
        expected = tree / path.replace("link", "a")
        assert pick(tree, path) == expected

    @pytest.mark.parametrize(
        ("path", "complaint"),
        [
            ("", "names nothing"),
            (".", "names nothing"),
            ("/etc/passwd", "absolute"),
            ("a/../../x", "leads upwards"),
            ("..", "leads upwards"),
            ("a\0", "no name"),
            ("a", "write 'a/'"),
            ("f/", "'f' is a file in the directory, not a folder"),
            ("f/x", "'f' is a file"),
            ("nothing", r"has no 'nothing': it has 'a/', 'bad', 'empty/', 'f', 'pipe'\."),
            ("a/nothing/", r"has no 'a/nothing/': its folder 'a' has 'run', 'x'\."),
            ("empty/x", "its folder 'empty' is empty"),
            ("bad", "out of the directory"),
            ("bad/passwd", "out of the directory"),
            ("pipe", "is a named pipe"),
        ],
    )
    def test_anything_else_is_refused_with_a_hint(self, tree, path, complaint):
        (tree / "bad").symlink_to("/etc/hostname")
        os.mkfifo(tree / "pipe")
        with pytest.raises(RainException, match=complaint):
            pick(tree, path)

    def test_a_long_listing_is_cut(self, tmp_path):
        folder = make(tmp_path / "t", {f"{i:02}": (b"", False) for i in range(30)})
        with pytest.raises(RainException, match=r"'09', … \(30 in all\)"):
            pick(folder, "x")
        with pytest.raises(RainException, match="cannot be read"):
            pick(folder / "x", "x")
