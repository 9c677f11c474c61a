"""Archives that nobody trusts: nothing outside of the target is touched, and nothing half is left."""

from __future__ import annotations

import gzip
import io
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rain.core.errors import RainException
from rain.data.tree_archive import TreeArchive
from rain.data.tree_names import TreeLimits
from rain.data.unpack import unpack
from tests.unit.data.trees import found, make


def tar(*members: tuple, form: int = tarfile.PAX_FORMAT, end: bool = True) -> bytes:
    """A tar of (name, type, bytes or the target of a link) and, where wanted, more fields of the header."""
    data = b""
    for name, kind, body, *fields in members:
        info = tarfile.TarInfo(name)
        info.type = kind
        content = b"" if isinstance(body, str) else body
        info.linkname = body if isinstance(body, str) else ""
        info.size = len(content)
        for key, value in dict(*fields).items():
            setattr(info, key, value)
        data += info.tobuf(form, "utf-8", "surrogateescape") + content + bytes(-len(content) % 512)
    return data + bytes(1024 if end else 0)


FILE, FOLDER, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
DEEP = "/".join(["d" * 200] * 30)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def outside(tmp_path):
    """A file that must survive, beside a target; afterwards nothing else is there."""
    secret = tmp_path / "secret"
    secret.write_text("untouched")
    secret.chmod(0o600)
    before = secret.stat()
    yield tmp_path
    assert names_in(tmp_path) == ["secret"]
    assert secret.read_text() == "untouched"
    after = secret.stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_nlink) == (before.st_mode, before.st_mtime_ns, 1)


GOOD = ("good", FILE, b"good")

MALICIOUS = {
    "upwards": ([("../secret", FILE, b"x")], "leads upwards"),
    "upwards inside": ([("a/../../secret", FILE, b"x")], "leads upwards"),
    "up as a folder": ([("..", FOLDER, b"")], "leads upwards"),
    "absolute": ([("/tmp/rain-absolute", FILE, b"x")], "absolute"),
    "absolute by two slashes": ([("//tmp/rain-absolute", FILE, b"x")], "absolute"),
    "the root as a file": ([("./.", FILE, b"x")], "name of the directory itself"),
    "symbolic link": ([("a", LINK, "../secret")], "symbolic link"),
    "a file through a link": ([("a", LINK, ".."), ("a/secret", FILE, b"x")], "symbolic link"),
    "hard link": ([("a", HARD, "../secret")], "hard link"),
    "hard link to a link": ([("a", LINK, "../secret"), ("b", HARD, "a"), ("b", FILE, b"x")], "symbolic link"),
    "character device": ([("a", tarfile.CHRTYPE, b"", {"devmajor": 1, "devminor": 3})], "device"),
    "block device": ([("a", tarfile.BLKTYPE, b"")], "device"),
    "named pipe": ([("a", tarfile.FIFOTYPE, b"")], "named pipe"),
    "old sparse": ([("a", tarfile.GNUTYPE_SPARSE, b"", {"size": 0})], "sparse file"),
    "sparse by pax": ([("a", FILE, b"1\n0\n0\n", {"pax_headers": {"GNU.sparse.major": "1"}})], r"sparse file \(pack"),
    "contiguous": ([("a", tarfile.CONTTYPE, b"x")], "unknown kind"),
    "unknown kind": ([("a", b"Z", b"x")], "unknown kind"),
    "the same file twice": ([("a", FILE, b"1"), ("./a", FILE, b"2")], "twice"),
    "a folder that was a file": ([("a", FILE, b"1"), ("a", FOLDER, b"")], "as a file"),
    "a file that was a folder": ([("a", FOLDER, b""), ("a", FILE, b"1")], "twice"),
    "below a file": ([("a", FILE, b"1"), ("a/b", FILE, b"1")], "as a file"),
    "NUL": ([("a", FILE, b"1", {"pax_headers": {"path": "a\0b"}})], "no name"),
    "not UTF-8": ([("a\udce9", FILE, b"1")], "not UTF-8"),
    "not composed": ([("e\u0301", FILE, b"1")], "composed form"),
    "long name": ([("n" * 256, FILE, b"1")], "at most 255 bytes"),
    "long path": ([(DEEP, FILE, b"1")], "at most 2048 bytes"),
    "deep": ([("d/" * 129, FOLDER, b"")], "nested 128 deep"),
    "a folder with data": ([("a", FOLDER, b"12")], "impossible"),
    "a huge folder": ([("a", FOLDER, b"", {"size": 1 << 60})], "impossible"),
    "negative size": ([("a", FILE, b"", {"size": -512})], "-512 bytes, which is impossible"),
    "size of nonsense": ([("a", FILE, b"", {"pax_headers": {"size": "-5"}})], "no number"),
    "global name": ([("g", tarfile.XGLTYPE, b"10 path=b\n"), ("a", FILE, b"")], "all members at once"),
    "endless extensions": ([("g", tarfile.XGLTYPE, b"9 a=bcde\n")] * 9, "extension headers"),
    "damaged pax": ([("x", tarfile.XHDTYPE, b"99 path=b\n"), ("a", FILE, b"")], "damaged"),
    "pax without end": ([("x", tarfile.XHDTYPE, b"0 path=b\n"), ("a", FILE, b"")], "damaged"),
    "huge pax": ([("x", tarfile.XHDTYPE, b"", {"size": 1 << 40})], "at most 65536 are read"),
    "huge long name": ([("x", tarfile.GNUTYPE_LONGNAME, b"", {"size": 1 << 33})], "at most 65536 are read"),
    "huge file": ([("a", FILE, b"", {"size": 1 << 50})], "more than 1099511627776 bytes"),
    "promised too much": ([("a", FILE, b"1", {"size": 5000})], "ends in the middle"),
    # CVE-2024-12718: a filter that is asked for may still change modes and times outside of the target.
    "CVE-2024-12718": ([("x", LINK, "."), ("x", LINK, ".."), ("x/secret", FILE, b"", {"mode": 0o777})], "symbolic"),
    # CVE-2025-4138, CVE-2025-4517: the path with the links resolved is longer than PATH_MAX, so the check saw another.
    "CVE-2025-4517": (
        [
            ("d" * 247, FOLDER, b""),
            ("a", LINK, "d" * 247),
            (f"{'d' * 247}/b", LINK, "d" * 247),
            ("escape", LINK, "a/b/" + "../" * 20 + "secret"),
            ("escape", HARD, "escape"),
            ("escape", FILE, b"overwritten"),
        ],
        "symbolic link",
    ),
    # CVE-2025-4330: a hard link to a link that is replaced afterwards is extracted from somewhere else.
    "CVE-2025-4330": ([("a/b", LINK, "../secret"), ("c", HARD, "a/b"), ("c", FILE, b"x")], "symbolic link"),
}

#: What can be said in one of the formats only.
ONLY_IN = {
    r"sparse file \(pack": tarfile.PAX_FORMAT,
    "no name": tarfile.PAX_FORMAT,
    "no number": tarfile.PAX_FORMAT,
    "-512 bytes, which is impossible": tarfile.GNU_FORMAT,
    "at most 65536 are read": tarfile.GNU_FORMAT,
}


@pytest.mark.parametrize("members, complaint", MALICIOUS.values(), ids=MALICIOUS.keys())  # noqa: PT006
def test_a_malicious_archive_is_refused_and_leaves_nothing(outside, members, complaint):
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        if form == ONLY_IN.get(complaint, form):
            for before in ([], [GOOD, ("folder", FOLDER, b"")]):
                with pytest.raises(RainException, match=complaint):
                    unpack(tar(*before, *members, form=form), outside / "target")
                assert not (outside / "target").exists()
    assert not Path("/tmp/rain-absolute").exists()


@pytest.mark.parametrize("cut", [1, 511, 512, 700, 1024 + 512 - 1, 1024 + 511])
def test_an_archive_that_ends_early_is_refused(outside, cut):
    with pytest.raises(RainException, match="ends in the middle"):
        unpack(tar(("a", FILE, b"x" * 400), GOOD, end=False)[:cut], outside / "target")
    with pytest.raises(RainException, match="ends in the middle"):
        unpack(tar(GOOD, end=False), outside / "target")


def test_what_is_no_tar_is_refused(outside):
    for data in (b"x" * 2000, b"\x89PNG" + bytes(600)):
        with pytest.raises(RainException, match="no tar"):
            unpack(data, outside / "target")
    with pytest.raises(RainException, match="decompress it first"):
        unpack(gzip.compress(os.urandom(2000)), outside / "target")
    with pytest.raises(RainException, match="No such file"):
        unpack(outside / "missing", outside / "target")


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        (TreeLimits(max_members=4), "more than 4 files and folders"),
        (TreeLimits(max_bytes=5), "more than 5 bytes"),
        (TreeLimits(max_depth=2), "nested 2 deep"),
        (TreeLimits(max_path_bytes=4), "at most 4 bytes"),
    ],
)
def test_limits_hold_for_what_an_archive_only_implies(outside, limits, complaint):
    archive = tar(("a/b/c", FILE, b"123"), ("a", FOLDER, b""), ("d", FILE, b"456"), ("e", FOLDER, b""))
    with pytest.raises(RainException, match=complaint):
        unpack(archive, outside / "target", limits=limits)


class EndlessFiles(io.RawIOBase):
    """A stream of empty files that never ends, as a machine would send it that means harm."""

    def __init__(self) -> None:
        self.n_files = 0

    def read(self, size: int = -1, /) -> bytes:
        assert size == 512
        self.n_files += 1
        return tar((f"f{self.n_files}", FILE, b""), end=False)


def test_an_endless_archive_is_left_at_the_limit(outside):
    stream = EndlessFiles()
    with pytest.raises(RainException, match="more than 500 files"):
        unpack(stream, outside / "target", limits=TreeLimits(max_members=500))
    assert stream.n_files == 501


def test_a_target_that_exists_is_left_alone(tmp_path):
    for name, maker in {"folder": Path.mkdir, "file": Path.touch, "link": lambda p: p.symlink_to(tmp_path)}.items():
        target = tmp_path / name
        maker(target)
        with pytest.raises(RainException, match="exists"):
            unpack(tar(GOOD), target)
    assert names_in(tmp_path) == ["file", "folder", "link"]


def test_modes_are_as_asked_for_whatever_the_archive_and_the_umask_say(tmp_path):
    archive = tar(("d", FOLDER, b"", {"mode": 0}), ("d/s", FILE, b"", {"mode": 0o6777}), ("f", FILE, b"", {"mode": 0}))
    old = os.umask(0o077)
    try:
        unpack(archive, tmp_path / "own")
        unpack(archive, tmp_path / "sealed", read_only=True)
    finally:
        os.umask(old)
    for root, modes in {"own": (0o755, 0o644), "sealed": (0o555, 0o444)}.items():
        found_modes = [stat.S_IMODE((tmp_path / root / name).stat().st_mode) for name in ("", "d", "d/s", "f")]
        assert found_modes == [0o755, 0o755, *modes]


class Trickle(io.BytesIO):
    """A stream that gives a few bytes at a time, as sockets do."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 100))


@pytest.mark.parametrize("form", ["ustar", "gnu", "pax", "v7", "oldgnu"])
def test_archives_of_gnu_tar_are_taken_from_bytes_files_and_streams(tmp_path, form):
    name = "x" * (90 if form in {"ustar", "v7"} else 180)
    tree = {"a": {name[:99]: (b"1" * 5000, True), "empty": {}}, "ž": (b"", False)}
    if form not in {"ustar", "v7"}:
        tree["a"][name] = {name: (b"deep", False)}
    folder = make(tmp_path / "t", tree)
    archive = subprocess.run(
        ["tar", f"--format={form}", "-cf-", "."], cwd=folder, capture_output=True, check=True
    ).stdout
    (tmp_path / "t.tar").write_bytes(archive)
    for number, source in enumerate([archive, tmp_path / "t.tar", io.BytesIO(archive), Trickle(archive)]):
        unpack(source, tmp_path / f"out{number}")
        assert found(tmp_path / f"out{number}") == tree


def test_archives_of_git_and_without_entries_of_folders_are_taken(tmp_path):
    comment = b"52 comment=0123456789012345678901234567890123456789\n"
    unpack(tar(("pax_global_header", tarfile.XGLTYPE, comment), ("a/b/c", FILE, b"1")), tmp_path / "out")
    assert found(tmp_path / "out") == {"a": {"b": {"c": (b"1", False)}}}
    unpack(bytes(10240), tmp_path / "empty")
    assert found(tmp_path / "empty") == {}


@settings(max_examples=150, deadline=None)
@given(
    place=st.integers(0, 4000), noise=st.binary(min_size=1, max_size=40), fix=st.booleans()
)  # fmt: skip
def test_damaged_archives_are_refused_or_taken_but_never_crash(tmp_path_factory, place, noise, fix):
    tmp_path = tmp_path_factory.mktemp("damaged")
    data = bytearray(tar(("a", FOLDER, b""), ("a/b" + "é" * 60, FILE, b"x" * 700), ("c", FILE, b"1")))
    place %= len(data)
    data[place : place + len(noise)] = noise
    if fix:
        block = place // 512 * 512
        header = data[block : block + 512]
        data[block + 148 : block + 156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 256)
    try:
        unpack(bytes(data), tmp_path / "target")
    except RainException:
        assert names_in(tmp_path) == []
    else:
        assert names_in(tmp_path) == ["target"]
        assert TreeArchive(tmp_path / "target").size
