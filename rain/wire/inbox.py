"""Wake once, read until the socket is empty, hand over one batch.

One `await` per message costs more than the message. The descriptor of a zmq socket is edge-triggered: it wakes the
loop only when news arrives in an empty queue, so a turn reads until nothing is left or schedules itself again, and a
send, which may take the edge away unseen, is followed by `poke()`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import zmq

from rain.wire.endpoint import Socket

T = TypeVar("T")


class Inbox(Generic[T]):
    """Calls `on_batch` with everything that `receive` got from a socket in one turn of the loop.

    `receive` reads one message without waiting; it raises zmq.Again when there is none, and returns None for a message
    to be ignored. `on_empty` is called when everything that had arrived has been handed over.
    """

    def __init__(
        self,
        socket: Socket,
        loop: asyncio.AbstractEventLoop,
        on_batch: Callable[[list[T]], None],
        max_messages: int,
        *,
        receive: Callable[[], T | None],
        on_empty: Callable[[], None] | None = None,
    ) -> None:
        self._loop = loop
        self._on_batch = on_batch
        self._on_empty = on_empty
        self._receive = receive
        self._max_messages = max_messages
        self._turn_handle: asyncio.Handle | None = None
        self._closed = False
        self._fd: int = socket.fileno()
        loop.add_reader(self._fd, self._turn)
        self.poke()

    def poke(self) -> None:
        """Looks again in the next turn of the loop; cheap to call after every send."""
        if self._turn_handle is None and not self._closed:
            self._turn_handle = self._loop.call_soon(self._turn)

    def close(self) -> None:
        """Stops reading; to be called before the socket is closed."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._fd)
        if self._turn_handle is not None:
            self._turn_handle.cancel()
            self._turn_handle = None

    def _turn(self) -> None:
        if self._turn_handle is not None:
            self._turn_handle.cancel()
            self._turn_handle = None
        batch: list[T] = []
        empty = self._read(batch)
        if not empty:
            self.poke()
        try:
            if batch:
                self._on_batch(batch)
        finally:
            if empty and self._on_empty is not None and not self._closed:
                self._on_empty()

    def _read(self, batch: list[T]) -> bool:
        receive = self._receive
        append = batch.append
        try:
            for _ in range(self._max_messages):
                message = receive()
                if message is not None:
                    append(message)
        except zmq.Again:
            return True
        return False
