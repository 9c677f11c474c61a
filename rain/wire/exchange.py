"""Questions and answers over the connection to one holder: every question gets its answer, or None when it is lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from rain.core.errors import ProtocolViolation, RainException
from rain.protocol.codec import encode
from rain.protocol.transfer import (
    MAX_PARCEL_OBJECT,
    Chunk,
    Entry,
    FromHolder,
    Get,
    GetRange,
    GetStore,
    Parcel,
    Peer,
    StoreAt,
    from_holder_decoder,
)
from rain.wire.budget import ByteBudget
from rain.wire.endpoint import DATA, Context, Frame, Frames
from rain.wire.keys import KeyPair
from rain.wire.link import Link

_log = logging.getLogger("rain.wire.exchange")

#: An entry of a parcel with its bytes, where they came along.
Arrival = tuple[Entry, bytes | None]

_Answer = tuple[FromHolder, Frame]
#: Makes the question with this number.
_Question = Callable[[int], Get | GetRange | GetStore]


class Exchange:
    """The connection to one holder; once lost it stays lost, and everybody who waits or asks gets None."""

    def __init__(self, context: Context, peer: Peer, keypair: KeyPair, budget: ByteBudget) -> None:
        self._context = context
        self._peer = peer
        self._keypair = keypair
        self._budget = budget
        self._link: Link | None = None
        self._next_request = 0
        self._pending: dict[int, asyncio.Future[_Answer | None]] = {}
        self.lost = False
        self._closed = False
        #: When the holder last answered, or was asked while it owed nothing (monotonic seconds).
        self.last_news = time.monotonic()

    @property
    def waiting(self) -> bool:
        """Questions are open."""
        return bool(self._pending)

    async def open(self, limit_s: float) -> None:
        """Connects where that was not done. Raises RainException, and the exchange is lost."""
        if self._link is not None or self.lost:
            return
        peer = self._peer
        try:
            link = await Link.connect(
                self._context,
                peer.host,
                peer.port,
                keypair=self._keypair,
                server_key=peer.key.encode(),
                on_batch=self._answered,
                on_lost=self._lose,
                timeout_s=limit_s,
                limits=DATA,
                access=f"the address of holder {peer.number}",
            )
        except RainException:
            self.lost = True
            raise
        if self._closed:
            link.close()
            return
        self._link = link
        self.last_news = time.monotonic()

    def close(self) -> None:
        """Ends the connection; who waits gets None."""
        self._closed = True
        if self._link is not None:
            self._link.close()
            self._link = None
        self._end()

    async def get(self, session: int, objects: Sequence[int]) -> list[Arrival] | None:
        """What the holder has of the first of the objects, in their order. None: the connection is lost."""
        # What the answer will come to is not known before, only what it cannot exceed.
        limit = min(DATA.frame_bytes, len(objects) * MAX_PARCEL_OBJECT)
        await self._budget.take(limit)
        try:
            answer = await self._ask(lambda number: Get(number, session, tuple(objects)))
        finally:
            self._budget.give_back(limit)
        if answer is None:
            return None
        parcel, payload = answer
        try:
            if not isinstance(parcel, Parcel) or not _begins(objects, parcel):
                raise ProtocolViolation("a parcel of other objects than were asked for")
            return _unpack_parcel(parcel, payload)
        except ProtocolViolation as violation:
            self._distrust(violation)
            return None

    async def get_store(self) -> StoreAt | None:
        """Where the holder's files lie. None: the connection is lost."""
        answer = await self._ask(GetStore)
        if answer is None:
            return None
        if not isinstance(answer[0], StoreAt):
            self._distrust(ProtocolViolation("an answer to something that was not asked"))
            return None
        return answer[0]

    async def copy_range(
        self, session: int, obj: int, offset: int, length: int, write: Callable[[Frame, int], Awaitable[None]]
    ) -> bool:
        """Has these bytes of an object written; False when the object is gone there, or the connection is lost.

        They count as in flight until `write(bytes, offset)` returns. Raises what that raises.
        """
        await self._budget.take(length)
        try:
            data = await self._get_range(session, obj, offset, length)
            if data is None or self.lost:
                return False
            await write(data, offset)
        finally:
            self._budget.give_back(length)
        return True

    async def _get_range(self, session: int, obj: int, offset: int, length: int) -> Frame | None:
        answer = await self._ask(lambda number: GetRange(number, session, obj, offset, length))
        if answer is None:
            return None
        chunk, payload = answer
        if not isinstance(chunk, Chunk) or (chunk.object, chunk.offset) != (obj, offset):
            self._distrust(ProtocolViolation("an answer to something that was not asked"))
            return None
        if not chunk.ok:
            return None
        if len(payload) != length:
            self._distrust(ProtocolViolation(f"a range of {len(payload)} bytes where {length} were asked for"))
            return None
        return payload

    async def _ask(self, question: _Question) -> _Answer | None:
        if self._link is None:
            return None
        number = self._next_request
        self._next_request += 1
        if not self._pending:
            self.last_news = time.monotonic()
        answer: asyncio.Future[_Answer | None] = asyncio.get_running_loop().create_future()
        self._pending[number] = answer
        try:
            if not self._link.send([encode(question(number))]):
                return None
            return await answer
        finally:
            self._pending.pop(number, None)

    def _answered(self, batch: list[Frames]) -> None:
        self.last_news = time.monotonic()
        for frames in batch:
            try:
                message = from_holder_decoder.decode(frames[0])
            except ProtocolViolation as violation:
                self._distrust(violation)
                return
            answer = self._pending.get(message.request)
            # Answers to questions that were given up are normal.
            if answer is not None and not answer.done():
                answer.set_result((message, frames[1] if len(frames) > 1 else b""))

    def _distrust(self, violation: ProtocolViolation) -> None:
        _log.warning("gave up holder %d: %s", self._peer.number, violation)
        self.close()

    def _lose(self, reason: str) -> None:
        _log.info("lost holder %d: %s", self._peer.number, reason)
        self._link = None
        self._end()

    def _end(self) -> None:
        self.lost = True
        for answer in self._pending.values():
            if not answer.done():
                answer.set_result(None)


def _begins(objects: Sequence[int], parcel: Parcel) -> bool:
    """Whether the parcel has the first of these objects, in their order, and any at all."""
    named = [entry.object for entry in parcel.entries]
    return named == list(objects[: len(named)]) and bool(named or not objects)


def _unpack_parcel(parcel: Parcel, payload: Frame) -> list[Arrival]:
    arrivals: list[Arrival] = []
    start = 0
    view = memoryview(payload)
    for entry in parcel.entries:
        if not entry.inline:
            arrivals.append((entry, None))
            continue
        if not 0 <= entry.size <= min(MAX_PARCEL_OBJECT, len(view) - start):
            raise ProtocolViolation(f"a parcel with {entry.size} bytes of an object where {len(view) - start} are left")
        arrivals.append((entry, bytes(view[start : start + entry.size])))
        start += entry.size
    if start != len(view):
        raise ProtocolViolation(f"a parcel with {len(view) - start} bytes that belong to no object")
    return arrivals
