"""Binding a socket, with errors that say what to do."""

from __future__ import annotations

import errno
import socket as sockets

import zmq

from rain.core.errors import RainException
from rain.wire.endpoint import Socket, endpoint_url

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def numeric_address(host: str) -> str:
    """The address of a name, IPv4 where there is one. Raises RainException."""
    try:
        found = sockets.getaddrinfo(host, None, type=sockets.SOCK_STREAM)
    except OSError as error:
        raise RainException(
            f"Cannot listen on {host!r}: the name has no address on this machine ({error}). "
            "Give a numeric address of this machine, such as 127.0.0.1."
        ) from None
    addresses = sorted(found, key=lambda info: info[0] != sockets.AF_INET)
    return str(addresses[0][4][0])


def near_address(address: str) -> str:
    """Where this machine itself reaches an endpoint that listens on `address`."""
    return _ANY.get(address, address)


def listen(socket: Socket, host: str, port: int) -> tuple[str, int]:
    """Binds to a host and a port (0: a free one); the numeric address and the port. Raises RainException."""
    address = numeric_address(host)
    socket.ipv6 = ":" in address
    try:
        socket.bind(endpoint_url(address, port))
    except zmq.ZMQError as error:
        raise RainException(_reason(address, port, error)) from None
    return address, int(socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0").rsplit(":", 1)[1])


def _reason(address: str, port: int, error: zmq.ZMQError) -> str:
    where = f"Cannot listen on {address}:{port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where}: the port is in use, perhaps by a Rain server that runs already. "
            f"Stop it (rain stop {address}:{port}), or choose another port; port 0 takes a free one."
        )
    if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV):
        return f"{where}: this machine has no such address. Use one of its own, such as 127.0.0.1."
    if error.errno == errno.EACCES:
        return f"{where}: ports below 1024 are for the system's administrator. Choose a port from 1024 on."
    return f"{where}: {error.strerror}. Choose a port from 1 to 65535, or 0 for a free one."
