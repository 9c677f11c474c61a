"""The answering side of data transfer: serves objects to whoever is let in and asks; servers and workers have one.

It knows nothing of sessions or files of its own: a callback says what is there. Small objects are answered many at
once, large ones range by range, each range read when it is asked for, so that a slow reader costs no memory here.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from rain.core.errors import ProtocolViolation
from rain.protocol.codec import encode
from rain.protocol.transfer import (
    CHUNK_BYTES,
    MAX_OBJECTS_PER_GET,
    MAX_PARCEL_OBJECT,
    Chunk,
    Entry,
    Get,
    GetRange,
    Parcel,
    ToHolder,
    to_holder_decoder,
)
from rain.wire.endpoint import DATA, Context, Frames
from rain.wire.gate import Gate
from rain.wire.keys import KeyPair
from rain.wire.peers import Peers

_log = logging.getLogger("rain.wire.holder")

#: Small objects of one parcel come to at most this much; it stays below the frame limit of data endpoints.
PARCEL_BYTES = 3 << 20
#: What is read and sent in one turn of the loop.
TURN_BYTES = 4 << 20
#: Requests of one peer that wait for their answer; nobody who keeps to the windows comes near it.
MAX_WAITING = 1024


class Stored(msgspec.Struct, frozen=True):
    """An object that is here: its size in bytes, its content type, and its bytes or the file that has them."""

    size: int
    content_type: str | None
    data: bytes | Path


class Holder:
    """A data endpoint; `source(session, object)` says what is there and is called for every request.

    To be made in a running loop. `roles` are those of the gate that may ask.
    """

    def __init__(
        self,
        context: Context,
        gate: Gate,
        keypair: KeyPair,
        source: Callable[[int, int], Stored | None],
        *,
        roles: Iterable[str],
        domain: str = "data",
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._waiting: deque[tuple[bytes, ToHolder]] = deque()
        self._waiting_of: Counter[bytes] = Counter()
        self._turn_handle: asyncio.Handle | None = None
        self._peers = Peers(
            context,
            gate,
            keypair,
            domain=domain,
            limits=DATA,
            on_batch=self._asked,
            on_gone=self._forget,
            roles=roles,
        )

    def bind(self, host: str, port: int) -> int:
        """Listens; port 0 takes a free one. Returns the port. Raises RainException when it cannot be had."""
        return self._peers.bind(host, port)

    async def self_check(self) -> None:
        """Proves that strangers are refused. Raises RainException if they are not."""
        await self._peers.self_check()

    def close(self) -> None:
        """Answers nobody any more."""
        if self._turn_handle is not None:
            self._turn_handle.cancel()
        self._waiting.clear()
        self._peers.close()

    def _asked(self, batch: list[tuple[bytes, str, Frames]]) -> None:
        for peer, _, frames in batch:
            try:
                request = to_holder_decoder.decode(frames[0])
                _check(request)
                if self._waiting_of[peer] >= MAX_WAITING:
                    raise ProtocolViolation(f"more than {MAX_WAITING} requests at once")
            except ProtocolViolation as violation:
                _log.warning("dropped a peer of the data endpoint: %s", violation)
                self._forget(peer)
                self._peers.drop(peer)
                continue
            self._waiting.append((peer, request))
            self._waiting_of[peer] += 1
        self._continue()

    def _forget(self, peer: bytes) -> None:
        if self._waiting_of.pop(peer, 0):
            self._waiting = deque(entry for entry in self._waiting if entry[0] != peer)

    def _continue(self) -> None:
        if self._waiting and self._turn_handle is None:
            self._turn_handle = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_handle = None
        sent = 0
        while self._waiting and sent < TURN_BYTES:
            peer, request = self._waiting.popleft()
            self._waiting_of[peer] -= 1
            header, payload = self._parcel(request) if isinstance(request, Get) else self._chunk(request)
            sent += len(payload)
            if not self._peers.send(peer, [encode(header), payload]):
                self._forget(peer)
        self._waiting_of = +self._waiting_of
        self._continue()

    def _parcel(self, request: Get) -> tuple[Parcel, bytes]:
        entries = []
        parts: list[bytes] = []
        room = PARCEL_BYTES
        for obj in request.objects:
            stored = self._source(request.session, obj)
            if stored is None:
                entries.append(Entry(obj, -1))
                continue
            data = None
            if stored.size <= min(room, MAX_PARCEL_OBJECT):
                data = _read(stored, 0, stored.size)
                if data is None:
                    entries.append(Entry(obj, -1))
                    continue
                parts.append(data)
                room -= len(data)
            entries.append(Entry(obj, stored.size, stored.content_type, inline=data is not None))
        return Parcel(request.request, tuple(entries)), b"".join(parts)

    def _chunk(self, request: GetRange) -> tuple[Chunk, bytes]:
        stored = self._source(request.session, request.object)
        data = None if stored is None else _read(stored, request.offset, request.length)
        return Chunk(request.request, request.object, request.offset, ok=data is not None), data or b""


def _check(request: ToHolder) -> None:
    """Raises ProtocolViolation for a request that asks for more than one answer may carry."""
    if isinstance(request, Get):
        if len(request.objects) > MAX_OBJECTS_PER_GET:
            raise ProtocolViolation(f"asked for {len(request.objects)} objects, at most {MAX_OBJECTS_PER_GET} at once")
    elif not (0 <= request.offset < 1 << 62 and 0 <= request.length <= CHUNK_BYTES):
        raise ProtocolViolation(f"asked for {request.length} bytes at {request.offset}, at most {CHUNK_BYTES} at once")


def _read(stored: Stored, offset: int, length: int) -> bytes | None:
    """Exactly these bytes of the object; None where it has not got them (any more)."""
    if offset + length > stored.size:
        return None
    if isinstance(stored.data, bytes):
        return stored.data[offset : offset + length]
    try:
        fd = os.open(stored.data, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            data = os.pread(fd, length, offset)
        finally:
            os.close(fd)
    except OSError as error:
        _log.warning("an object's file cannot be read: %s", error)
        return None
    return data if len(data) == length else None
