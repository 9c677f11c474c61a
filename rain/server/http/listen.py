"""Listening sockets for HTTP, before anything that answers on them is loaded."""

from __future__ import annotations

import errno
import socket

from rain.core.config import DEFAULT_HTTP_PORT
from rain.core.errors import RainException

_BACKLOG = 128


def listen_http(host: str, port: int | None) -> socket.socket:
    """A listening socket. Without a port: the default one, or a free one where that is in use. Raises RainException."""
    try:
        try:
            return _listen(host, DEFAULT_HTTP_PORT if port is None else port)
        except OSError as error:
            if port is not None or error.errno != errno.EADDRINUSE:
                raise
            return _listen(host, 0)
    except OSError as error:
        raise RainException(_explain(host, port, error)) from error


def _listen(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # A name such as "localhost" may have an address of each kind; IPv4 is what everybody tries.
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _explain(host: str, port: int | None, error: OSError) -> str:
    where = f"cannot listen for HTTP on {host}:{DEFAULT_HTTP_PORT if port is None else port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where}: the port is in use. Name another one with --http-listen; port 0 takes a free one"
    if error.errno == errno.EACCES:
        return f"{where}: ports below 1024 are for the system's administrator. Name another one with --http-listen"
    return f"{where}: {error.strerror}. Name an address of this machine with --http-listen, such as 127.0.0.1"
