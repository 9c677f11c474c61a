"""The answering side of data transfer: serves objects to whoever is let in and asks; servers and workers have one.

It knows nothing of sessions or files of its own: a callback says what is there. Small objects are answered many at
once, large ones range by range, each range read when it is asked for, so that a slow reader costs no memory here.
What has to be worked out first, such as the tar of a folder, is read in threads, and others are answered meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol

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
    GetStore,
    Parcel,
    StoreAt,
    ToHolder,
    to_holder_decoder,
)
from rain.wire.endpoint import DATA, Context, Frame, Frames
from rain.wire.gate import Gate
from rain.wire.keys import KeyPair
from rain.wire.peers import Peers
from rain.wire.shared_store import OfferedStore

_log = logging.getLogger("rain.wire.holder")

#: Small objects of one parcel come to at most this much; it stays below the frame limit of data endpoints.
PARCEL_BYTES = 3 << 20
#: What is read and sent in one turn of the loop.
TURN_BYTES = 4 << 20
#: Requests of one peer that wait for their answer; nobody who keeps to the windows comes near it.
MAX_WAITING = 1024
#: Threads that read what is worked out when it is asked for.
N_READERS = 2


class Ranges(Protocol):
    """Bytes that are worked out when they are asked for, which takes long enough to be done in a thread."""

    @property
    def path(self) -> Path:
        """The file or folder that they are made of."""
        ...

    def read(self, offset: int, length: int) -> bytes | None:
        """These bytes, fewer only at the end; None where they cannot be had any more. Called in any thread."""
        ...


class Stored(msgspec.Struct, frozen=True):
    """An object that is here: its size in bytes, its content type, and its bytes or what has them."""

    size: int
    content_type: str | None
    data: bytes | Path | Ranges


_Answer = tuple[Parcel | Chunk | StoreAt, Frame]


class Holder:
    """A data endpoint; `source(session, object)` says what is there and is called for every request.

    To be made in a running loop. `roles` are those of the gate that may ask. Without an `offered` store nobody is told
    where files are.
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
        offered: OfferedStore | None = None,
    ) -> None:
        self._offered = offered
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._waiting: deque[tuple[bytes, ToHolder]] = deque()
        self._waiting_of: Counter[bytes] = Counter()
        self._turn_handle: asyncio.Handle | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._closed = False
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
        if self._readers is not None:
            self._readers.shutdown(wait=False, cancel_futures=True)
        self._closed = True
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
            try:
                answer = self._answer_now(request)
            except BlockingIOError:
                # It waits, and counts, until it is read.
                self._answer_later(peer, request)
                continue
            self._waiting_of[peer] -= 1
            sent += self._send(peer, answer)
        self._waiting_of = +self._waiting_of
        self._continue()

    def _answer_now(self, request: ToHolder) -> _Answer:
        """Raises BlockingIOError where that would take long."""
        if isinstance(request, GetStore):
            return StoreAt(request.request) if self._offered is None else self._offered.answer(request.request), b""
        if isinstance(request, GetRange):
            return _chunk(request, self._source(request.session, request.object), may_wait=False)
        found = self._look_up(request)
        if any(stored is not None and not isinstance(stored.data, bytes | Path) for stored in found):
            raise BlockingIOError
        return self._parcel(request, found)

    def _look_up(self, request: Get) -> list[Stored | None]:
        """The objects of one parcel: as many as have room in it, and no others are touched."""
        found: list[Stored | None] = []
        room = PARCEL_BYTES
        for obj in request.objects:
            stored = self._source(request.session, obj)
            if stored is not None and stored.size <= MAX_PARCEL_OBJECT:
                room -= stored.size
                if room < 0:
                    break
            found.append(stored)
        return found

    def _send(self, peer: bytes, answer: _Answer) -> int:
        header, payload = answer
        if not self._peers.send(peer, [encode(header), payload]):
            self._forget(peer)
        return len(payload)

    def _answer_later(self, peer: bytes, request: ToHolder) -> None:
        if isinstance(request, GetRange):
            read = partial(_chunk, request, self._source(request.session, request.object), may_wait=True)
            self._read_in_thread(peer, read)
        elif isinstance(request, Get):
            self._read_in_thread(peer, partial(self._parcel, request, self._look_up(request)))

    def _read_in_thread(self, peer: bytes, read: Callable[[], _Answer]) -> None:
        if self._readers is None:
            self._readers = ThreadPoolExecutor(N_READERS, "rain-holder")

        def was_read(done: Future[_Answer]) -> None:
            # The loop may have ended before the thread.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._was_read, peer, done)

        self._readers.submit(read).add_done_callback(was_read)

    def _was_read(self, peer: bytes, done: Future[_Answer]) -> None:
        # A peer that was forgotten meanwhile waits for nothing.
        if self._closed or done.cancelled() or not self._waiting_of[peer]:
            return
        self._waiting_of[peer] -= 1
        self._send(peer, done.result())

    def _parcel(self, request: Get, found: Sequence[Stored | None]) -> _Answer:
        entries = []
        parts: list[Frame] = []
        for obj, stored in zip(request.objects, found, strict=False):
            if stored is None:
                entries.append(Entry(obj, -1))
            elif stored.size > MAX_PARCEL_OBJECT:
                entries.append(self._marked(Entry(obj, stored.size, stored.content_type), stored))
            elif (data := _read(stored, 0, stored.size)) is None:
                entries.append(Entry(obj, -1))
            else:
                entries.append(Entry(obj, stored.size, stored.content_type, inline=True))
                parts.append(data)
        return Parcel(request.request, tuple(entries)), b"".join(parts)

    def _marked(self, entry: Entry, stored: Stored) -> Entry:
        if self._offered is None or isinstance(stored.data, bytes):
            return entry
        return self._offered.mark(entry, stored.data if isinstance(stored.data, Path) else stored.data.path)


def _chunk(request: GetRange, stored: Stored | None, *, may_wait: bool) -> _Answer:
    """Raises BlockingIOError where the bytes are not in memory and it may not wait for them."""
    data = None if stored is None else _read(stored, request.offset, request.length, may_wait=may_wait)
    return Chunk(request.request, request.object, request.offset, ok=data is not None), data or b""


def _check(request: ToHolder) -> None:
    """Raises ProtocolViolation for a request that asks for more than one answer may carry."""
    if isinstance(request, Get):
        if len(request.objects) > MAX_OBJECTS_PER_GET:
            raise ProtocolViolation(f"asked for {len(request.objects)} objects, at most {MAX_OBJECTS_PER_GET} at once")
    elif isinstance(request, GetRange) and not (0 <= request.offset < 1 << 62 and 0 <= request.length <= CHUNK_BYTES):
        raise ProtocolViolation(f"asked for {request.length} bytes at {request.offset}, at most {CHUNK_BYTES} at once")


def _read(stored: Stored, offset: int, length: int, *, may_wait: bool = True) -> Frame | None:
    """Exactly these bytes of the object; None where it has not got them (any more).

    Raises BlockingIOError where they are not in memory and it may not wait for them.
    """
    if offset + length > stored.size:
        return None
    if isinstance(stored.data, bytes):
        return memoryview(stored.data)[offset : offset + length]
    data: Frame | None
    if isinstance(stored.data, Path):
        data = _read_file(stored.data, offset, length, may_wait)
    elif may_wait:
        data = stored.data.read(offset, length)
    else:
        raise BlockingIOError
    return data if data is not None and len(data) == length else None


def _read_file(path: Path, offset: int, length: int, may_wait: bool) -> Frame | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return os.pread(fd, length, offset) if may_wait else _read_cached(fd, offset, length)
        finally:
            os.close(fd)
    except BlockingIOError:
        raise
    except OSError as error:
        _log.warning("an object's file cannot be read: %s", error)
        return None


def _read_cached(fd: int, offset: int, length: int) -> Frame:
    """Raises BlockingIOError where the kernel would have to wait for the disk, or cannot tell."""
    data = bytearray(length)
    try:
        found = os.preadv(fd, [data], offset, os.RWF_NOWAIT)
    except OSError as error:
        raise BlockingIOError from error
    if found < length:
        raise BlockingIOError
    return memoryview(data)
