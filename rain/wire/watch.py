"""News of a socket's connections: accepted, proven, refused, ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from struct import unpack_from

import zmq

from rain.wire.endpoint import Socket
from rain.wire.inbox import Inbox

ACCEPTED = int(zmq.EVENT_ACCEPTED)
DISCONNECTED = int(zmq.EVENT_DISCONNECTED)
CLOSED = int(zmq.EVENT_CLOSED)
SUCCEEDED = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
REFUSED = int(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
FOREIGN = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
BROKEN = int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)


class Watch:
    """Calls `on_event(event, value)` for the chosen events of a socket; value is a descriptor or an error number."""

    def __init__(
        self, socket: Socket, loop: asyncio.AbstractEventLoop, events: int, on_event: Callable[[int, int], None]
    ) -> None:
        self._socket = socket
        self._on_event = on_event
        self._monitor: Socket = socket.get_monitor_socket(events)
        self._inbox = Inbox(self._monitor, loop, self._news, 1000, receive=self._receive)

    def close(self) -> None:
        """Ends the watch; to be called before the watched socket is closed."""
        self._inbox.close()
        self._socket.disable_monitor()
        self._monitor.close(linger=0)

    def _receive(self) -> tuple[int, int]:
        news = self._monitor.recv_multipart(zmq.NOBLOCK)[0]
        event, value = unpack_from("=Hi", news)
        return event, value

    def _news(self, batch: list[tuple[int, int]]) -> None:
        for event, value in batch:
            self._on_event(event, value)
