"""Access files: who may read them, how they appear, and which are still good."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from rain.core.errors import RainException
from rain.wire.access import (
    Access,
    Role,
    list_access,
    read_access,
    remove_access,
    runtime_directory,
    sweep_stale,
    write_access,
)
from rain.wire.find_access import AccessNotFound, find_access, is_own_host
from rain.wire.keys import new_keypair
from rain.wire.process_time import process_start_time


@pytest.fixture(params=[0o000, 0o022, 0o777], ids=["umask000", "umask022", "umask777"])
def odd_umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def an_access(port: int = 7210, role: Role = "client", **changes: object) -> Access:
    start_time = process_start_time(os.getpid())
    assert start_time is not None
    keypair = new_keypair()
    access = Access(
        protocol=1,
        cluster=uuid.uuid4().hex,
        role=role,
        host="127.0.0.1",
        port=port,
        server_key=new_keypair().public.decode(),
        public_key=keypair.public.decode(),
        secret_key=keypair.secret.decode(),
        token="a token nobody should see",
        pid=os.getpid(),
        start_time=start_time,
    )
    return msgspec.structs.replace(access, **changes)


@pytest.mark.usefixtures("odd_umask")
def test_folder_and_file_are_private_whatever_the_umask(directory: Path) -> None:
    place = runtime_directory({"XDG_RUNTIME_DIR": str(directory)})
    path = write_access(an_access(), place)
    assert place == directory / "rain"
    assert place.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in place.iterdir()] == ["7210.client.json"]


def test_what_was_written_is_read_again(directory: Path) -> None:
    access = an_access()
    assert read_access(write_access(access, directory)) == access


def test_secrets_are_not_printed() -> None:
    access = an_access()
    for shown in (repr(access), str(access), repr(access.keypair), repr(access.__rich_repr__())):
        assert access.secret_key not in shown
        assert "nobody should see" not in shown
    assert access.keypair.secret.decode() == access.secret_key


def test_a_planted_link_is_replaced_and_its_target_untouched(directory: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    (directory / "7210.client.json").symlink_to(target)
    path = write_access(an_access(), directory)
    assert target.read_text() == "precious"
    assert not path.is_symlink()


def test_a_planted_link_is_not_read(directory: Path) -> None:
    path = write_access(an_access(), directory)
    link = directory / "link"
    link.symlink_to(path)
    with pytest.raises(RainException, match="it is a symbolic link"):
        read_access(link)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_can_use_is_refused(directory: Path, mode: int) -> None:
    path = write_access(an_access(), directory)
    path.chmod(mode)
    with pytest.raises(RainException, match=rf"mode {mode:04o}, expected 0600.*chmod 600 {path}"):
        read_access(path)


def test_a_file_of_another_user_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_access(an_access(), directory)
    monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(RainException, match="belongs to user"):
        read_access(path)
    with pytest.raises(RainException, match="belongs to user"):
        write_access(an_access(), directory)


def test_a_fifo_is_refused_without_waiting(directory: Path) -> None:
    path = directory / "7210.client.json"
    os.mkfifo(path, 0o600)
    with pytest.raises(RainException, match="not a regular file"):
        read_access(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe", b"x" * 100_000, b'{"protocol": 1}', b'{"port": "7210"}'],
    ids=["empty", "cut", "list", "binary", "huge", "incomplete", "type"],
)
def test_malformed_content_is_a_clear_error(directory: Path, content: bytes) -> None:
    path = directory / "7210.client.json"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(RainException, match="is not an access file of this version"):
        read_access(path)


@pytest.mark.parametrize("changes", [{"port": 0}, {"secret_key": "short"}, {"cluster": "../x"}, {"role": "root"}])
def test_impossible_values_are_a_clear_error(directory: Path, changes: dict[str, object]) -> None:
    path = directory / "7210.client.json"
    path.touch(0o600)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(an_access(), **changes)))
    with pytest.raises(RainException, match="is not an access file of this version"):
        read_access(path)


def test_a_runtime_folder_that_is_a_link_or_open_to_others_is_refused(directory: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(directory)}
    (directory / "elsewhere").mkdir(mode=0o700)
    (directory / "rain").symlink_to(directory / "elsewhere")
    with pytest.raises(RainException, match="must be a folder, but is a symbolic link"):
        runtime_directory(environ)
    (directory / "rain").unlink()
    (directory / "rain").mkdir()
    (directory / "rain").chmod(0o750)
    with pytest.raises(RainException, match="mode 0750, expected 0700"):
        runtime_directory(environ)


def test_without_a_runtime_folder_the_temporary_one_is_used(directory: Path) -> None:
    expected = directory / f"rain-{os.getuid()}"
    assert runtime_directory({"TMPDIR": str(directory)}) == expected
    assert runtime_directory({"TMPDIR": str(directory), "XDG_RUNTIME_DIR": "/nowhere"}) == expected


def test_only_running_servers_are_listed_and_the_rest_is_swept(directory: Path) -> None:
    live = an_access(7210)
    recycled = an_access(7211, start_time=1.0)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    dead = an_access(7212, pid=process.pid)
    for access in (live, recycled, dead, an_access(7213, "worker")):
        write_access(access, directory)
    (directory / "7214.client.json").write_text("rubbish")
    (directory / f".7215.client.json.{process.pid}.abcd").touch()
    assert list_access("client", directory) == [live]
    sweep_stale(directory)
    left = sorted(path.name for path in directory.iterdir())
    assert left == ["7210.client.json", "7213.worker.json", "7214.client.json"]


def test_a_server_removes_its_own_files_only(directory: Path) -> None:
    mine = an_access(7210)
    write_access(mine, directory)
    write_access(msgspec.structs.replace(mine, role="worker"), directory)
    other = an_access(7210, "monitor")
    path = write_access(other, directory)
    remove_access(directory, 7210, mine.cluster)
    assert list(directory.iterdir()) == [path]


def test_a_zombie_does_not_count_as_running() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_start_time(process.pid) is None
    process.wait()
    assert process_start_time(os.getpid()) == process_start_time(os.getpid()) != None  # noqa: E711


class Places:
    """The environment of a user."""

    def __init__(self, base: Path) -> None:
        self.environ = {
            "XDG_RUNTIME_DIR": str(base),
            "XDG_CONFIG_HOME": str(base / "config"),
            "TMPDIR": str(base),
        }
        self.runtime = runtime_directory(self.environ)
        self.copied = base / "config" / "rain" / "access"
        self.copied.mkdir(parents=True, mode=0o700)

    def copy(self, access: Access, name: str) -> Path:
        path = self.copied / name
        write_access(access, self.copied).rename(path)
        return path


@pytest.fixture
def places(directory: Path) -> Places:
    return Places(directory)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_keys_of_an_own_server_are_found_by_port(places: Places, host: str) -> None:
    access = an_access(7210)
    path = write_access(access, places.runtime)
    assert find_access(host, 7210, "client", environ=places.environ) == (access, path)


def test_an_explicit_file_comes_first(places: Places, tmp_path: Path) -> None:
    write_access(an_access(7210), places.runtime)
    given = an_access(9999)
    path = places.copy(given, "given.json")
    assert find_access("localhost", 7210, "client", path, environ=places.environ) == (given, path)


def test_keys_of_another_machine_come_from_the_configuration(places: Places) -> None:
    write_access(an_access(7210), places.runtime)
    access = an_access(7210)
    path = places.copy(access, "far.example-7210.client.json")
    assert find_access("far.example", 7210, "client", environ=places.environ) == (access, path)


def test_a_forwarded_port_of_this_machine_may_have_copied_keys(places: Places) -> None:
    access = an_access(7210)
    path = places.copy(access, "localhost-7777.client.json")
    assert find_access("localhost", 7777, "client", environ=places.environ) == (access, path)


def test_the_keys_of_another_role_are_refused(places: Places) -> None:
    path = write_access(an_access(7210, "worker"), places.runtime)
    with pytest.raises(RainException, match=r"file of a worker, and a client was expected.*\.client\.json"):
        find_access("localhost", 7210, "client", path, environ=places.environ)


def test_without_keys_the_error_lists_every_place_and_the_file_to_copy(places: Places) -> None:
    stale = write_access(an_access(7210, start_time=1.0), places.runtime)
    with pytest.raises(AccessNotFound) as caught:
        find_access("localhost", 7210, "client", environ=places.environ)
    text = str(caught.value)
    assert f"{stale}: of a server that no longer runs" in text
    assert f"{places.copied}/localhost-7210.client.json: not there" in text
    assert "copy $XDG_RUNTIME_DIR/rain/7210.client.json" in text
    assert "rain server" in text


def test_own_addresses_are_told_from_others() -> None:
    assert is_own_host("LOCALHOST")
    assert is_own_host("0.0.0.0")
    assert not is_own_host("192.0.2.1")
    assert not is_own_host("example.invalid")
