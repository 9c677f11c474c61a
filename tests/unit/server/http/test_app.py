"""Under which names a server may be asked, by where it listens."""

from __future__ import annotations

import socket

from rain.server.http.app import LOOPBACK_NAMES, allowed_names


def test_on_loopback_only_loopback_names_are_allowed():
    assert allowed_names("127.0.0.1") == LOOPBACK_NAMES


def test_elsewhere_the_machine_may_be_called_by_its_name():
    assert allowed_names("10.1.2.3") == LOOPBACK_NAMES | {"10.1.2.3", socket.gethostname().lower()}
