"""A bound in bytes that many share, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque


class ByteBudget:
    """At most `limit_bytes` are taken at any time; who asks for more than is left waits in line."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.taken_bytes = 0

    async def take(self, size_bytes: int) -> None:
        """Returns when the bytes are granted; one request is never larger than the limit."""
        assert size_bytes <= self._limit_bytes, "this request could never be granted"
        if not self._waiting and self.taken_bytes + size_bytes <= self._limit_bytes:
            self.taken_bytes += size_bytes
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.give_back(size_bytes)
            else:
                self._grant()
            raise

    def give_back(self, size_bytes: int) -> None:
        """Returns what was taken."""
        self.taken_bytes -= size_bytes
        self._grant()

    def _grant(self) -> None:
        while self._waiting:
            size_bytes, granted = self._waiting[0]
            if not granted.done():
                if self.taken_bytes + size_bytes > self._limit_bytes:
                    return
                self.taken_bytes += size_bytes
                granted.set_result(None)
            self._waiting.popleft()
