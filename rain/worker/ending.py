"""The end of a worker: orders to end from everywhere meet here, and the first one counts."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from rain.core.config import WorkerConfig
from rain.core.errors import RainException
from rain.deploy.starter import follow_lifeline

_log = logging.getLogger("rain.worker")


class Ending:
    """The one end of a worker: who orders it first decides how it is."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        #: None: the worker was told to end; else why it has to.
        self._reason: asyncio.Future[str | None] = self._loop.create_future()

    def order(self, reason: str | None = None) -> None:
        """The worker is to end; only the first order counts."""
        if not self._reason.done():
            self._reason.set_result(reason)

    async def wait(self) -> None:
        """Returns when the worker was told to end. Raises RainException when it has to."""
        reason = await asyncio.shield(self._reason)
        if reason is not None:
            raise RainException(f"this worker ends: {reason}")

    async def or_done(self, starting: Coroutine[Any, Any, None]) -> None:
        """Waits for a coroutine, unless the end is ordered before; then it is cancelled."""
        task = self._loop.create_task(starting)
        either: list[asyncio.Future[Any]] = [task, self._reason]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    def heed_orders(self, config: WorkerConfig, stack: AsyncExitStack) -> None:
        """Signals, the end of the starter, and our own mistakes end the worker."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._loop.add_signal_handler(number, self.order)
            stack.callback(self._loop.remove_signal_handler, number)
        if config.lifeline_fd is not None:
            follow_lifeline(self._loop, config.lifeline_fd, self.order)
        self._loop.set_exception_handler(self._mistake)

    def _mistake(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        _log.error("a mistake of the worker itself: %s", context.get("message"), exc_info=error)
        self.order(f"it made a mistake, see its log: {error!r}")
