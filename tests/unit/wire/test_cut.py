"""Cutting one connection by its descriptor, and only the one that was meant."""

from __future__ import annotations

import socket

from rain.wire.cut import cut, far_address


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    return near, far


def test_the_far_end_of_a_connection_that_is_cut_sees_its_end() -> None:
    near, far = pair()
    with near, far:
        far.settimeout(10)
        cut(near.fileno(), far_address(near.fileno()))
        assert far.recv(1) == b""


def test_a_descriptor_that_belongs_to_another_connection_by_now_is_left_alone() -> None:
    near, far = pair()
    with near, far:
        address = far_address(near.fileno())
        assert address is not None
        cut(near.fileno(), (*address[:-1], -1))
        near.send(b"still here")
        assert far.recv(10) == b"still here"


def test_a_descriptor_that_is_closed_is_no_error() -> None:
    near, far = pair()
    with far:
        number = near.fileno()
        address = far_address(number)
        near.close()
        assert far_address(number) is None
        cut(number, address)
