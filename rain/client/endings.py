"""How a connection ends on this side: called off while it is being made, or with a goodbye."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from rain.client.machine.events import Request
from rain.client.pacing import PacedSender
from rain.protocol.client import Leave

T = TypeVar("T")

#: A server that reads nothing and says nothing for so long is left without its answer.
LEAVE_LIMIT_S = 2.0


async def unless(over: asyncio.Event, making: Coroutine[Any, Any, T], called_off: Callable[[], None]) -> T | None:
    """The result; None where it is over before that, then `called_off` is called before everything is undone."""
    made = asyncio.create_task(making)
    ended = asyncio.create_task(over.wait())
    await asyncio.wait([made, ended], return_when=asyncio.FIRST_COMPLETED)
    ended.cancel()
    if made.done():
        return made.result()
    called_off()
    made.cancel()
    await asyncio.wait([made])
    return None


async def say_goodbye(
    ask: Callable[[Callable[[int], Request]], Awaitable[Any]], sender: PacedSender, *, outlived: bool
) -> None:
    """Returns when the server answers: it has all that was submitted, and the sessions are others' to attach.

    `outlived`: some sessions go on without this client, so that what is still to be sent is sent, for as long as the
    server reads. Otherwise nobody wants it any more.
    """
    if not outlived:
        sender.drop_waiting()
    leaving = asyncio.ensure_future(ask(Leave))
    while True:
        unsent_bytes = sender.unsent_bytes
        done, _ = await asyncio.wait([leaving], timeout=LEAVE_LIMIT_S)
        if done or sender.unsent_bytes >= unsent_bytes:
            break
    leaving.cancel()
