"""Data instances, in memory and in files."""

from __future__ import annotations

import gc
import pickle

import pytest

from rain.core.errors import RainException
from rain.data.instance import MAX_SHOWN_BYTES, DataInstance
from rain.data.tree_archive import TreeArchive


@pytest.fixture(params=["in memory", "in a file", "in a large file"])
def made(request, tmp_path):
    """Makes an instance of some bytes with a type, and pads them where it shall be large."""

    def make(data: bytes, content_type: str | None = None) -> DataInstance:
        if request.param == "in memory":
            return DataInstance(data, content_type=content_type)
        path = tmp_path / "object"
        path.write_bytes(data + b" " * (100_000 if request.param == "in a large file" else 0))
        path.chmod(0o444)
        return DataInstance(path=path, content_type=content_type)

    return make


@pytest.mark.parametrize(
    ("data", "hint"),
    [("s", r"text\.encode\(\)"), (bytearray(b"s"), r"bytes\(…\)"), (3, r"encode_value\(value, type\)")],
)
def test_it_is_made_of_bytes_alone(data, hint):
    with pytest.raises(RainException, match=rf"expected bytes, found {type(data).__name__}: {hint}"):
        DataInstance(data)


def test_a_path_is_no_number():
    with pytest.raises(RainException, match="expected the path of a file, found 3"):
        DataInstance(path=3)


def test_bytes_and_text_are_read(made):
    instance = made("žluť".encode())
    assert instance.get_bytes().rstrip() == instance.to_bytes().rstrip() == "žluť".encode()
    assert instance.get_str().rstrip() == instance.to_str().rstrip() == "žluť"
    assert bytes(instance) == instance.get_bytes()
    assert str(instance).rstrip() == "žluť"
    assert len(instance) == instance.size == len(instance.get_bytes())
    with instance.open() as file:
        assert file.read() == instance.get_bytes()


def test_it_equals_bytes_text_and_other_instances_of_the_same_content(made):
    instance = made(b"abc")
    assert instance == instance.get_bytes()
    assert instance == instance.get_str()
    assert instance == DataInstance(instance.get_bytes())
    assert instance != b"abd"
    assert instance != "abcd"
    assert instance != 3


def test_the_declared_encoding_counts(made):
    instance = made(b"\xe9", "text-latin1")
    assert instance.get_str().rstrip() == "é"
    assert str(instance).rstrip() == "é"
    assert instance == "é" + " " * (instance.size - 1)


def test_values_are_loaded(made):
    assert made(b"[1]", "json").load() == [1]


def test_loading_without_a_type_names_what_gives_the_bytes(made):
    with pytest.raises(RainException, match=r"get_bytes\(\)"):
        made(b"x").load()


def test_what_is_no_text_is_shown_by_its_repr_and_refused_as_text(made):
    instance = made(b"\xff\xfe\xfd")
    assert str(instance) == repr(instance) == f"<DataInstance, {instance.size} bytes>"
    with pytest.raises(RainException, match="is no utf-8 text"):
        instance.get_str()


def test_a_written_copy_is_the_caller_s_own(made, tmp_path):
    instance = made(b"abc")
    before = instance.get_bytes()
    instance.write(tmp_path / "mine")
    (tmp_path / "mine").write_bytes(b"changed")
    assert instance == before


def test_a_link_has_the_bytes(made, tmp_path):
    instance = made(b"abc")
    instance.link(tmp_path / "link")
    assert (tmp_path / "link").read_bytes() == instance.get_bytes()
    if instance.path is not None:
        assert (tmp_path / "link").samefile(instance.path)


def test_it_travels_by_its_bytes(made):
    instance = pickle.loads(pickle.dumps(made(b"[1]", "json")))
    assert instance.load() == [1]
    assert instance.path is None


def test_a_large_one_is_printed_without_reading_it_all(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(b"beginning")
        file.truncate(MAX_SHOWN_BYTES + 1)
    shown = str(DataInstance(path=path))
    assert shown.startswith("beginning")
    assert shown.endswith(f"({MAX_SHOWN_BYTES + 1} bytes in all)")
    assert len(shown) < 2000


def test_a_temporary_file_goes_with_its_instance(tmp_path):
    path = tmp_path / "fetched"
    path.write_bytes(b"x" * 100_000)
    instance = DataInstance(path=path, temporary=True)
    view = instance.view()
    del instance
    gc.collect()
    assert not path.exists()
    assert bytes(view[:1]) == b"x", "what was mapped stays readable"


def test_an_empty_one_is_true_and_readable(tmp_path):
    (tmp_path / "empty").touch()
    instance = DataInstance(path=tmp_path / "empty")
    assert instance
    assert instance == b""


def test_directories_are_told_apart():
    assert DataInstance(b"", content_type="dir").data_type == "directory"
    assert DataInstance(b"").data_type == "blob"


def test_it_is_made_of_bytes_or_of_a_file():
    with pytest.raises(RainException, match="either from data"):
        DataInstance()


# ------------------------------------------------------------------------------------------ directories


@pytest.fixture(params=["a folder", "a tar in memory", "a tar in a file"])
def tree(request, tmp_path):
    """The same directory in all its forms."""
    root = tmp_path / "tree"
    (root / "sub" / "empty").mkdir(parents=True)
    (root / "file").write_bytes(b"content")
    (root / "file").chmod(0o444)
    if request.param == "a folder":
        return DataInstance(path=root, content_type="dir")
    data = TreeArchive(root).read(0, 1 << 20)
    if request.param == "a tar in memory":
        return DataInstance(data, content_type="dir")
    (tmp_path / "tar").write_bytes(data)
    return DataInstance(path=tmp_path / "tar", content_type="dir", temporary=True)


def test_a_directory_is_a_folder_and_its_bytes_are_a_tar(tree, tmp_path):
    assert tree.data_type == "directory"
    assert (tree.path / "file").read_bytes() == b"content"
    assert (tree.path / "sub" / "empty").is_dir()
    assert len(tree.get_bytes()) == tree.size == len(tree)
    assert tree == tree.get_bytes()
    with tree.open() as file:
        assert file.read() == tree.get_bytes()
    assert tree.load() is tree
    assert str(tree) == repr(tree)
    assert pickle.loads(pickle.dumps(tree)) == tree


def test_a_directory_is_written_as_a_folder_of_ones_own_and_linked_read_only(tree, tmp_path):
    tree.write(tmp_path / "own")
    assert (tmp_path / "own" / "file").stat().st_mode & 0o777 == 0o644
    tree.link(tmp_path / "link")
    assert (tmp_path / "link" / "file").stat().st_mode & 0o777 == 0o444
    assert (tmp_path / "link" / "sub" / "empty").is_dir()
    with pytest.raises(RainException, match="exists"):
        tree.write(tmp_path / "own")


def test_the_folder_that_a_tar_became_goes_with_the_instance(tmp_path):
    (tmp_path / "empty").mkdir()
    instance = DataInstance(TreeArchive(tmp_path / "empty").read(0, 1 << 20), content_type="dir")
    path = instance.path
    assert path.is_dir()
    assert path == instance.path
    del instance
    gc.collect()
    assert not path.parent.exists()


def test_sets_and_dicts_tell_instances_of_the_same_content_apart():
    one, other = DataInstance(b"x"), DataInstance(b"x")
    assert one == other
    assert len({one, other, one}) == 2
    assert {one: 1, other: 2}[other] == 2


def test_its_info_has_what_is_known_beside_the_value():
    instance = DataInstance(b"abc", content_type="text")
    assert (instance.info.size, instance.info.content_type, instance.info.user) == (3, "text", {})
    assert (instance.info.error, instance.info.debug) == (None, "")
    instance.info.user["seen"] = True
    assert instance.info.user == {"seen": True}
