"""Following a session: its server is asked again and again what has changed, in the I/O thread of the connection."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rain.client.live.standing import SessionStanding
from rain.client.machine.effects import Trouble
from rain.client.pending import Pending
from rain.core.errors import RainException
from rain.protocol.feed import MIN_INTERVAL_S, FeedNews, WatchSession

if TYPE_CHECKING:
    import concurrent.futures

    from rain.client.machine.effects import Reply
    from rain.client.requests import Asking
    from rain.client.shell import Shell

_log = logging.getLogger("rain.client")

#: While nothing is heard of a session at work, its clock is shown to go on this often.
TICK_S = 1.0


class Follower:
    """Follows one session until it is stopped, or nothing more can be heard of it.

    `on_change(standing)` is called in the I/O thread, at most five times a second. It holds the connection, not the
    session.
    """

    def __init__(
        self, shell: Shell, session: int, name: str | None, on_change: Callable[[SessionStanding], None]
    ) -> None:
        self._shell = shell
        self._standing = SessionStanding(session, name)
        self._on_change = on_change
        self._running: concurrent.futures.Future[None] = shell.run(self._follow)

    @property
    def is_over(self) -> bool:
        """Nothing more will be heard."""
        return self._running.done()

    def stop(self) -> None:
        """Hears no more; repeatable."""
        self._running.cancel()

    async def _follow(self, ask: Asking) -> None:
        standing, after = self._standing, 0
        while not standing.over:
            outcome = await self._answer(ask, after)
            if isinstance(outcome, Trouble):
                end(standing, outcome)
            else:
                assert isinstance(outcome, FeedNews), "the server answers WatchSession with nothing else"
                after = outcome.request
                standing.learn(outcome)
            self._tell()

    async def _answer(self, ask: Asking, after: int) -> Reply | Trouble:
        """The next answer; while it does not come the time goes on."""
        number = self._standing.session
        asked = asyncio.ensure_future(ask(lambda request: WatchSession(request, number, MIN_INTERVAL_S, after)))
        try:
            while True:
                began_s = time.monotonic()
                done, _ = await asyncio.wait([asked], timeout=None if self._standing.is_at_rest else TICK_S)
                if done:
                    return asked.result()
                self._standing.elapsed_s += time.monotonic() - began_s
                self._tell()
        finally:
            asked.cancel()

    def _tell(self) -> None:
        try:
            self._on_change(self._standing)
        except Exception:  # whoever looks must not keep the connection from its work
            _log.exception("a view of a session could not be brought up to date")


def look(shell: Shell, session: int, name: str | None, limit_s: float) -> SessionStanding:
    """How the session stands now, for any thread but the I/O thread. Raises TimeoutError."""
    standing = SessionStanding(session, name)
    try:
        future = shell.ask(lambda request: WatchSession(request, session, once=True))
        outcome = Pending(future, lambda found: found, "the server's answer").result(limit_s)
    except RainException as error:
        outcome = Trouble(reason=str(error), server_gone=True)
    if isinstance(outcome, Trouble):
        end(standing, outcome)
    else:
        assert isinstance(outcome, FeedNews), "the server answers WatchSession with nothing else"
        standing.learn(outcome)
    return standing


def end(standing: SessionStanding, trouble: Trouble) -> None:
    """Nothing more will be heard, for this reason."""
    was_closed = not trouble.server_gone or "was closed" in trouble.reason
    standing.over = "closed" if was_closed else "lost"
    standing.over_text = trouble.reason
