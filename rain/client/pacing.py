"""Sending a large submit no faster than the server reads it, and deciding whether it is sent at all."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable

from rain.wire.endpoint import Frames, size_bytes
from rain.wire.link import Link

#: The link is given no more than this until the server has read some of it.
MAX_UNSENT_BYTES = 32 << 20
#: How soon a link that is full is looked at again.
RETRY_S = 0.005


class Ticket:
    """Who comes first: the I/O thread that sends a submit, or the caller that gives it up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False

    def take(self) -> bool:
        """True for exactly one caller."""
        with self._lock:
            first, self._taken = not self._taken, True
        return first


class PacedSender:
    """Sends over one link, in order; what the server does not read yet waits here. Lives in the link's loop."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._waiting: deque[Frames] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._is_over = False

    def send(self, frames: Frames) -> None:
        """Sends after everything that was sent before; never waits."""
        if not self._waiting and self._link.unsent_bytes < MAX_UNSENT_BYTES:
            self._link.send(frames)
            return
        self._waiting.append(frames)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._send_later())

    def send_at_once(self, frames: Frames) -> bool:
        """The same for a small message from any thread; False, with nothing done, where it would have to wait."""
        return not self._waiting and self._link.send_at_once(frames)

    async def stream(self, messages: Iterable[Frames]) -> None:
        """Sends messages that are made one by one in another thread, so that few of them are ever in memory.

        Raises what making them raises; those before were sent.
        """
        coming = iter(messages)
        while (frames := await asyncio.to_thread(next, coming, None)) is not None:
            # No event tells that the link has sent something.
            while not self._is_over and (  # noqa: ASYNC110
                self._waiting or self._link.unsent_bytes >= MAX_UNSENT_BYTES
            ):
                await asyncio.sleep(RETRY_S)
            if self._is_over:
                return
            self._link.send(frames)

    @property
    def unsent_bytes(self) -> int:
        """What the server has not read yet."""
        return self._link.unsent_bytes + sum(map(size_bytes, self._waiting))

    def drop_waiting(self) -> None:
        """Forgets what waits here: nobody wants it any more."""
        self._waiting.clear()

    def clear(self) -> None:
        """Forgets what waits: the link is lost or closed."""
        self._is_over = True
        self._waiting.clear()

    async def _send_later(self) -> None:
        while self._waiting:
            if self._link.unsent_bytes < MAX_UNSENT_BYTES:
                # In this order, so that nothing is sent at once before it.
                self._link.send(self._waiting[0])
                if self._waiting:
                    self._waiting.popleft()
            else:
                await asyncio.sleep(RETRY_S)
