"""Where objects are, and getting them from there: the coroutine behind every fetch. Runs in the I/O thread."""

from __future__ import annotations

import asyncio
import uuid
from array import array
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from rain.client.fetched import FetchedData
from rain.client.machine.effects import Reply, Trouble
from rain.client.machine.events import Request
from rain.protocol.client import Locate, Located
from rain.protocol.columns import check_total, pack, unpack
from rain.wire.fetcher import Fetcher
from rain.wire.holder import Stored

#: How often a holder that turned out not to have an object is asked about again, before the fetch is given up.
MAX_ROUNDS = 6
#: The pauses before that, each twice as long as the one before; about two seconds in all.
FIRST_PAUSE_S = 0.03

Ask = Callable[[Callable[[int], Request]], Awaitable[Reply | Trouble]]


async def fetch_objects(ask: Ask, fetcher: Fetcher, session: int, objects: Sequence[int]) -> FetchedData | Trouble:
    """The objects, in the order asked for, as soon as all are finished; large ones are files in the fetcher's folder.

    A holder may go away between the answer and the question to it: then the server is asked again, which finds another
    one or has the object computed again.
    """
    found: dict[int, Stored] = {}
    users: dict[int, bytes] = {}
    missing = list(dict.fromkeys(objects))
    for attempt in range(MAX_ROUNDS):
        if attempt:
            # The server may not have noticed yet that the holder is gone.
            await asyncio.sleep(FIRST_PAUSE_S * 2.0**attempt)
        outcome = await _locate(ask, session, missing)
        if isinstance(outcome, Trouble):
            return outcome
        fetcher.learn(outcome.peers)
        users.update((missing[place], user) for place, user in outcome.users)
        elsewhere = _take_inline(outcome, missing, found)
        for holder, numbers in elsewhere.items():
            for number, stored in zip(numbers, await fetcher.get(holder, session, numbers), strict=True):
                mine = _claim(stored)
                if mine is not None:
                    found[number] = mine
        missing = [number for number in missing if number not in found]
        if not missing:
            return FetchedData([found[number] for number in objects], users)
    return Trouble(
        reason=f"{len(missing)} of {len(objects)} objects could not be had from the workers that hold them, "
        f"after {MAX_ROUNDS} tries. Can this machine reach the workers' data ports?"
    )


def _claim(stored: Stored | None) -> Stored | None:
    """Gives a fetched file a name of its own; None where another fetch of the same object took it first."""
    if stored is None or not isinstance(stored.data, Path):
        return stored
    path = stored.data.with_name(f"{stored.data.name}.{uuid.uuid4().hex}")
    try:
        stored.data.rename(path)
    except FileNotFoundError:
        return None
    return Stored(stored.size, stored.content_type, path)


async def _locate(ask: Ask, session: int, objects: Sequence[int]) -> Located | Trouble:
    outcome = await ask(lambda request: Locate(request=request, session=session, objects=pack("I", objects)))
    assert isinstance(outcome, Located | Trouble), "the machine answers a Locate with nothing else"
    return outcome


def _take_inline(located: Located, objects: Sequence[int], found: dict[int, Stored]) -> dict[int, list[int]]:
    """Adds what came with the answer to `found`; the others by holder. Raises ProtocolViolation."""
    rows = len(objects)
    holders = unpack("I", located.holder, "holder", rows)
    sizes = unpack("Q", located.size, "size", rows)
    inline = unpack("B", located.inline, "inline", rows)
    inline_sizes = array("Q", (size for size, here in zip(sizes, inline, strict=True) if here))
    check_total(inline_sizes, len(located.data), "located")
    elsewhere: dict[int, list[int]] = defaultdict(list)
    at = 0
    for row, number in enumerate(objects):
        if inline[row]:
            size = sizes[row]
            found[number] = Stored(size, located.content_types[row], bytes(located.data[at : at + size]))
            at += size
        else:
            elsewhere[holders[row]].append(number)
    return elsewhere
