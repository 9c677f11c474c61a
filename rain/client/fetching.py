"""Where objects are, and getting them from there: the coroutine behind every fetch. Runs in the I/O thread."""

from __future__ import annotations

import asyncio
import uuid
from array import array
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress
from pathlib import Path

from rain.client.fetched import FetchedData
from rain.client.machine.effects import Reply, Trouble
from rain.client.machine.events import Request
from rain.core.ids import object_name
from rain.protocol.client import Locate, Located
from rain.protocol.columns import check_total, column, unpack
from rain.wire.fetcher import Fetcher
from rain.wire.holder import Stored
from rain.wire.incoming import Unwritten

#: Objects asked for at once, so that small ones all travel inside the answer.
MAX_LOCATED = 1 << 16
#: How often a holder that turned out not to have an object is asked about again, before the fetch is given up.
MAX_ROUNDS = 6
#: The pauses before that, each twice as long as the one before; about two seconds in all.
FIRST_PAUSE_S = 0.03

Ask = Callable[[Callable[[int], Request]], Awaitable[Reply | Trouble]]


@dataclass(slots=True)
class _Found:
    """What is here already: the objects, and the JSON of each `info.user` there is."""

    stored: dict[int, Stored] = field(default_factory=dict)
    users: dict[int, bytes] = field(default_factory=dict)


def first_locate(request: int, session: int, objects: Sequence[int]) -> Locate:
    """The question with which a fetch begins."""
    return Locate(request=request, session=session, objects=column(_wanted(objects)[:MAX_LOCATED]))


def brings_all(answer: Reply, objects: Sequence[int]) -> bool:
    """Whether the answer to that question has the bytes of all objects with it."""
    return isinstance(answer, Located) and 0 not in answer.inline and len(_wanted(objects)) == len(answer.inline)


def fetched(
    objects: Sequence[int], outcome: tuple[Reply | Trouble, FetchedData | Trouble | None]
) -> FetchedData | Trouble:
    """What a fetch brought: with the first answer, or after it. Raises ProtocolViolation."""
    answer, rest = outcome
    if rest is not None:
        return rest
    if isinstance(answer, Trouble):
        return answer
    assert isinstance(answer, Located), "the machine answers a Locate with nothing else"
    wanted = _wanted(objects)
    stored: dict[int, Stored] = {}
    take_inline(answer, wanted, stored)
    users = {wanted[place]: user for place, user in answer.users}
    return FetchedData(list(map(stored.__getitem__, objects)), users)


async def fetch_objects(
    ask: Ask, fetcher: Fetcher, session: int, objects: Sequence[int], first: Reply
) -> FetchedData | Trouble:
    """The objects, in the order asked for, when all are finished; large ones are files in the fetcher's folder.

    `first`: the answer to `first_locate`.
    """
    found = _Found()
    wanted = _wanted(objects)
    answer: Reply | None = first
    for start in range(0, len(wanted), MAX_LOCATED):
        trouble = await _fetch_some(ask, fetcher, session, wanted[start : start + MAX_LOCATED], found, answer=answer)
        if trouble is not None:
            return trouble
        answer = None
    return FetchedData(list(map(found.stored.__getitem__, objects)), found.users)


def _wanted(objects: Sequence[int]) -> array[int]:
    """Each once."""
    return array("I", dict.fromkeys(objects))


async def _fetch_some(
    ask: Ask, fetcher: Fetcher, session: int, objects: array[int], found: _Found, *, answer: Reply | None
) -> Trouble | None:
    """Adds these objects to what was found; `answer`: what the server said of them, where it was asked already.

    A holder may go away between the answer and the question to it: then the server is asked again, which finds another
    one or has the object computed again.
    """
    missing = objects
    for attempt in range(MAX_ROUNDS):
        if attempt:
            # The server may not have noticed yet that the holder is gone.
            await asyncio.sleep(FIRST_PAUSE_S * 2.0**attempt)
        outcome = answer if answer is not None else await _locate(ask, session, missing)
        answer = None
        if isinstance(outcome, Trouble):
            return outcome
        assert isinstance(outcome, Located), "the machine answers a Locate with nothing else"
        fetcher.learn(outcome.peers)
        found.users.update((missing[place], user) for place, user in outcome.users)
        elsewhere = take_inline(outcome, missing, found.stored)
        for holder, numbers in elsewhere.items():
            for number, stored in zip(numbers, await fetcher.get(holder, session, numbers), strict=True):
                if isinstance(stored, Unwritten):
                    name = object_name(session, number)
                    return Trouble(reason=f"{name} cannot be written on this machine: {stored.reason}.")
                mine = _claim(stored)
                if mine is not None:
                    found.stored[number] = mine
        asked_for = chain.from_iterable(elsewhere.values())
        missing = array("I", [number for number in asked_for if number not in found.stored])
        if not missing:
            return None
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


async def _locate(ask: Ask, session: int, objects: array[int]) -> Reply | Trouble:
    return await ask(lambda request: Locate(request=request, session=session, objects=column(objects)))


def take_inline(located: Located, objects: array[int], found: dict[int, Stored]) -> dict[int, list[int]]:
    """Adds what came with the answer to `found`; the others by holder. Raises ProtocolViolation."""
    rows = len(objects)
    holders = unpack("I", located.holder, "holder", rows)
    sizes = unpack("Q", located.size, "size", rows)
    inline = unpack("B", located.inline, "inline", rows)
    elsewhere: dict[int, list[int]] = defaultdict(list)
    data = bytes(located.data)
    here: Iterable[tuple[int, int, str | None]] = zip(objects, sizes, located.content_types, strict=True)
    if 0 in inline:
        for number, holder, is_here in zip(objects, holders, inline, strict=True):
            if not is_here:
                elsewhere[holder].append(number)
        here = compress(here, inline)
        sizes = array("Q", compress(sizes, inline))
    check_total(sizes, len(data), "located")
    at = 0
    for number, size, content_type in here:
        found[number] = Stored(size, content_type, data[at : at + size])
        at += size
    return elsewhere
