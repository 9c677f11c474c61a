"""An answer on its way: the same thing to wait for in a thread, with a time limit, and to await in any loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import time
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from rain.client.options import is_number
from rain.core.errors import RainException, SessionException

T = TypeVar("T")

#: A waiting thread looks up this often; the arrival of the outcome wakes it at once.
LOOK_UP_S = 0.2
#: Who has no time to wait waits this long for a server that is not busy.
ROUND_TRIP_LIMIT_S = 1.0


class Pending(Generic[T]):
    """A request that was sent, and what makes its outcome a result (or an exception) in the stack of who waits.

    Whoever stops waiting (time out, Ctrl-C, a cancelled coroutine) gives the request up; the work goes on.
    """

    __slots__ = ("_finish", "_future", "_look", "_round_trip", "_what")

    def __init__(
        self,
        future: concurrent.futures.Future[Any] | None,
        finish: Callable[[Any], T],
        what: str = "the work",
        look: Callable[[], None] | None = None,
        round_trip: Callable[[], concurrent.futures.Future[Any]] | None = None,
    ) -> None:
        """`future` None: there is nothing to wait for, `finish(None)` is the result.

        `look` is called now and then by who waits, in its stack. `round_trip` asks what is answered at once, after all
        that was asked before: so who has no time to wait learns what is so already.
        """
        self._look = look
        self._round_trip = round_trip
        self._future = future
        self._finish = finish
        self._what = what

    def result(self, timeout: float | None = None) -> T:
        """Waits in this thread, at most `timeout` seconds. Raises TimeoutError."""
        try:
            check_timeout(timeout)
        except RainException:
            if self._future is not None:
                self._future.cancel()
            raise
        if self._future is None:
            return self._finish(None)
        try:
            if timeout is not None and timeout <= 0:
                self._ask_around(self._future)
            outcome = interruptible_result(self._future, timeout, self._look)
        except concurrent.futures.CancelledError:
            raise _ended() from None
        except BaseException as error:
            if self._future.cancel() and isinstance(error, TimeoutError):
                raise TimeoutError(f"{self._what} did not finish within {timeout:g} s; it goes on") from None
            if not isinstance(error, TimeoutError) or self._future.cancelled():
                raise
            # It arrived just now.
            outcome = self._future.result()
        return self._finish(outcome)

    def looking(self, look: Callable[[], None]) -> Pending[T]:
        """The same; whoever waits calls this now and then, too."""
        earlier = self._look

        def both() -> None:
            if earlier is not None:
                earlier()
            look()

        self._look = both
        return self

    def _ask_around(self, future: concurrent.futures.Future[Any]) -> None:
        """Returns when the answer is here, or would be if there were one already."""
        deadline = time.monotonic() + ROUND_TRIP_LIMIT_S
        # A step of the server answers waits last, and the answer may lead to one more request.
        for _ in range(3):
            if self._round_trip is None or future.done():
                return
            try:
                interruptible_result(self._round_trip(), max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                return

    async def within(self, timeout: float | None) -> T:
        """Waits in any loop, at most `timeout` seconds. Raises TimeoutError."""
        check_timeout(timeout)
        try:
            async with asyncio.timeout(timeout) as limit:
                return await self._awaited()
        except TimeoutError:
            if not limit.expired():
                raise
            raise TimeoutError(f"{self._what} did not finish within {timeout:g} s; it goes on") from None

    def __await__(self) -> Generator[Any, None, T]:
        return self._awaited().__await__()

    async def _awaited(self) -> T:
        if self._future is None:
            return self._finish(None)
        future = asyncio.wrap_future(self._future)
        try:
            if self._look is not None:
                # Twice and not for ever: thousands may be awaited at the same time.
                for _ in range(2):
                    done, _left = await asyncio.wait([future], timeout=LOOK_UP_S)
                    if not done:
                        self._look()
            outcome = await future
        except asyncio.CancelledError:
            future.cancel()
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise _ended() from None
        return self._finish(outcome)


class FetchedObjects:
    """A fetch on its way, for one object or array, or for several."""

    __slots__ = ("_pending",)

    def __init__(self, pending: Pending[list[Any]]) -> None:
        self._pending = pending

    def all(self) -> Pending[list[Any]]:
        """The values in the order asked for."""
        return self._pending

    async def first(self) -> Any:
        """The value of a single object, or of a single array."""
        return (await self._pending)[0]


def check_timeout(timeout: object) -> None:
    """Raises RainException unless it is a number of seconds or None; below 0 is as good as 0, `inf` as None."""
    if timeout is not None and timeout != math.inf and not is_number(timeout):
        raise RainException(f"timeout: expected seconds or None, found {timeout!r}")


def interruptible_result(
    future: concurrent.futures.Future[T], timeout: float | None = None, look: Callable[[], None] | None = None
) -> T:
    """The result, waited for at most `timeout` seconds (TimeoutError); looks up from waiting now and then.

    A signal that another thread of the user's happened to take is handled by the main thread, but does not wake it.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = LOOK_UP_S if deadline is None else min(LOOK_UP_S, deadline - time.monotonic())
        try:
            return future.result(max(0.0, left))
        except TimeoutError:
            if future.done() or (deadline is not None and time.monotonic() >= deadline):
                raise
            if look is not None:
                look()


def _ended() -> SessionException:
    return SessionException("the client was closed while this call waited: make a new one with `Client(…)`")
