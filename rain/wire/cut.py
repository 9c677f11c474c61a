"""Ending one connection of many behind one socket, which the transport has no call for: its far end sees it closed."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

Address = tuple[str | int, ...]


def far_address(descriptor: int) -> Address | None:
    """The address of the far end; None where the connection has ended."""
    try:
        with _shared(descriptor) as connection:
            return tuple(connection.getpeername())
    except OSError:
        return None


def cut(descriptor: int, address: Address | None) -> None:
    """Ends the connection to this far end; what is queued for it is let go.

    The transport owns the descriptor, and closes it now. One that belongs to another connection by now is left alone.
    """
    # It may have ended by itself meanwhile.
    with contextlib.suppress(OSError), _shared(descriptor) as connection:
        if address is not None and tuple(connection.getpeername()) == address:
            connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _shared(descriptor: int) -> Iterator[socket.socket]:
    """The connection by a descriptor of our own, so that it stays what it is while it is looked at."""
    connection = socket.socket(fileno=os.dup(descriptor))
    try:
        yield connection
    finally:
        connection.close()
