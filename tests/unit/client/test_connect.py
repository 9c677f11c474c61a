"""Which server is meant, and what differing versions mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from rain.client import connect
from rain.client.connect import find_target, parse_address
from rain.client.handshake import differences
from rain.core.errors import RainException
from rain.protocol.hello import Versions
from rain.wire.access import Access


@pytest.mark.parametrize(
    ("address", "port", "expected"),
    [
        ("localhost", None, ("localhost", 7210)),
        ("host", 5, ("host", 5)),
        ("host:12", None, ("host", 12)),
        ("host:12", 12, ("host", 12)),
        (" host:12 ", None, ("host", 12)),
        ("::1", None, ("::1", 7210)),
        ("[::1]", 8, ("::1", 8)),
        ("[fe80::1]:99", None, ("fe80::1", 99)),
    ],
)
def test_an_address_has_a_host_and_a_port(address: str, port: int | None, expected: tuple[str, int]) -> None:
    assert parse_address(address, port) == expected


@pytest.mark.parametrize(
    ("address", "port", "text"),
    [
        ("", None, "expected the address of a server"),
        (7210, None, "expected the address of a server .* found 7210"),
        ("host:12", 13, "the port is given twice, in 'host:12' and as 13"),
        ("host:http", None, "expected a port number after the colon .* found 'http'"),
        ("host", 70000, "a port is a number from 1 to 65535, found 70000"),
        ("host", "x", "a port is a number from 1 to 65535, found 'x'"),
    ],
)
def test_a_bad_address_is_refused(address: str, port: int | None, text: str) -> None:
    with pytest.raises(RainException, match=text):
        parse_address(address, port)


def test_an_access_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.json"
    with pytest.raises(RainException, match=str(missing)):
        find_target(None, None, missing, {})
    with pytest.raises(RainException, match=str(missing)):
        find_target(None, None, None, {"RAIN_ACCESS": str(missing)})


def running(port: int, kind: str = "run") -> Access:
    key = "k" * 40
    return Access(
        protocol=1, cluster="0" * 32, role="client", host="0.0.0.0", port=port, server_key=key, public_key=key,
        secret_key=key, pid=1, start_time=0.0, kind=kind,
    )  # fmt: skip


def test_of_several_clusters_one_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [running(7210), running(7300), running(7400, "local")]
    monkeypatch.setattr(connect, "list_access", lambda role: found)
    with pytest.raises(RainException) as caught:
        find_target(None, None, None, {})
    assert str(caught.value) == (
        "2 clusters of yours run on this machine; say which one you mean:\n"
        '  Client("127.0.0.1:7210")\n'
        '  Client("127.0.0.1:7300")'
    )
    del found[0]
    target = find_target(None, None, None, {})
    assert target is not None
    assert str(target) == "127.0.0.1:7300"
    # One that another program embeds is that program's own.
    del found[0]
    assert find_target(None, None, None, {}) is None


def test_versions_that_matter_make_a_table() -> None:
    same = Versions("1.0", "3.11.2", "3.1.0")
    assert differences(same, Versions("1.1", "3.11.9", "3.0.0")) == ""
    table = differences(same, Versions("1.0", "3.12.1", "2.2.0"))
    assert table.splitlines() == [
        "  python       client 3.11     server 3.12",
        "  cloudpickle  client 3        server 2",
    ]
