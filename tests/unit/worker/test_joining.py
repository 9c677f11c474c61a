"""The address of this machine on the way to a server."""

from __future__ import annotations

import pytest

from rain.core.errors import RainException
from rain.worker.joining import own_address


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.7"])
def test_a_server_on_loopback_is_reached_from_loopback(host: str) -> None:
    assert own_address(host, 7210) == "127.0.0.1"


def test_an_unknown_server_is_explained() -> None:
    with pytest.raises(RainException, match="--listen"):
        own_address("no-such-host.invalid", 7210)
