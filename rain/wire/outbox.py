"""Messages that wait for a peer that reads slowly: in order, and bounded in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import zmq

from rain.wire.endpoint import Frames, size_bytes

#: How soon a full queue is tried again.
RETRY_S = 0.005


class Outbox:
    """What could not be sent at once; `write` sends one message or raises zmq.Again."""

    __slots__ = ("_limit_bytes", "_waiting", "_write", "unsent_bytes")

    def __init__(self, write: Callable[[Frames], None], limit_bytes: int) -> None:
        self._write = write
        self._limit_bytes = limit_bytes
        self._waiting: deque[tuple[Frames, int]] = deque()
        self.unsent_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def send(self, message: Frames) -> bool:
        """Sends now or keeps for later, never out of order; False when more waits than may."""
        if not self._waiting:
            try:
                self._write(message)
            except zmq.Again:
                pass
            else:
                return True
        size = size_bytes(message)
        if self.unsent_bytes + size > self._limit_bytes:
            return False
        self._waiting.append((message, size))
        self.unsent_bytes += size
        return True

    def flush(self) -> bool:
        """Sends as much as is taken; whether that was anything."""
        count = len(self._waiting)
        while self._waiting:
            message, size = self._waiting[0]
            try:
                self._write(message)
            except zmq.Again:
                break
            self._waiting.popleft()
            self.unsent_bytes -= size
        return len(self._waiting) < count

    def clear(self) -> None:
        """Forgets what waits."""
        self._waiting.clear()
        self.unsent_bytes = 0
