"""Where HTTP is served: the default port gives way, one that was asked for does not."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from rain.core.errors import RainException
from rain.server.http import listen
from rain.server.http.listen import listen_http


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_port_zero_takes_a_free_one():
    with listen_http("127.0.0.1", 0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        assert listener.getsockname()[1] > 0


def test_the_default_port_in_use_gives_way_to_a_free_one(taken, monkeypatch):
    monkeypatch.setattr(listen, "DEFAULT_HTTP_PORT", taken)
    with listen_http("127.0.0.1", None) as listener:
        assert listener.getsockname()[1] not in (0, taken)


def test_a_port_that_was_asked_for_and_is_in_use_is_an_error(taken):
    with pytest.raises(RainException, match=f"127.0.0.1:{taken}: the port is in use.*--http-listen"):
        listen_http("127.0.0.1", taken)


@pytest.mark.parametrize("host", ["192.0.2.7", "no.such.name.invalid"])
def test_an_address_that_is_not_this_machines_is_an_error(host):
    with pytest.raises(RainException, match=r"such as 127\.0\.0\.1"):
        listen_http(host, 0)
