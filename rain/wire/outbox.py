"""Messages that wait for a peer that reads slowly: in order, and bounded in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import zmq

from rain.wire.endpoint import Frames, Limits, size_bytes

#: How soon a full queue is tried again.
RETRY_S = 0.005


class Outbox:
    """What a peer has not read yet, as far as this side can know: with the transport, or not even there.

    The transport counts messages and not bytes, so large ones are followed until it has let go of them. `write` hands
    it one message, or raises zmq.Again; it gives trackers of what is large in the message.
    """

    __slots__ = ("_in_flight", "_in_flight_bytes", "_limits", "_waiting", "_waiting_bytes", "_write")

    def __init__(self, write: Callable[[Frames], list[zmq.MessageTracker]], limits: Limits) -> None:
        self._write = write
        self._limits = limits
        self._waiting: deque[tuple[Frames, int]] = deque()
        self._waiting_bytes = 0
        #: Of large messages that the transport was given, oldest first; they leave in this order.
        self._in_flight: deque[tuple[list[zmq.MessageTracker], int]] = deque()
        self._in_flight_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def unsent_bytes(self) -> int:
        """What waits, and what is large and has not left."""
        self._settle()
        return self._waiting_bytes + self._in_flight_bytes

    def send(self, message: Frames) -> bool:
        """Sends now or keeps for later, never out of order; False when more waits than may."""
        size = size_bytes(message)
        if not self._waiting and self._hand_over(message, size):
            return True
        if self._waiting_bytes + size > self._limits.outbox_bytes:
            return False
        self._waiting.append((message, size))
        self._waiting_bytes += size
        return True

    def flush(self) -> bool:
        """Sends as much as is taken; whether that was anything."""
        count = len(self._waiting)
        while self._waiting:
            message, size = self._waiting[0]
            if not self._hand_over(message, size):
                break
            self._waiting.popleft()
            self._waiting_bytes -= size
        return len(self._waiting) < count

    def clear(self) -> None:
        """Forgets what waits."""
        self._waiting.clear()
        self._waiting_bytes = 0

    def _hand_over(self, message: Frames, size: int) -> bool:
        if self._in_flight:
            self._settle()
            # One message goes whatever its size, or it would never go.
            if self._in_flight and self._in_flight_bytes + size > self._limits.flight_bytes:
                return False
        try:
            trackers = self._write(message)
        except zmq.Again:
            return False
        if trackers:
            self._in_flight.append((trackers, size))
            self._in_flight_bytes += size
        return True

    def _settle(self) -> None:
        while self._in_flight and all(tracker.done for tracker in self._in_flight[0][0]):
            _, size = self._in_flight.popleft()
            self._in_flight_bytes -= size
