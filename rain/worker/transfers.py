"""Inputs on their way to this worker: orders to fetch become events when the objects are here, or cannot be had.

A large directory is a folder of links where its holder is near; else it comes as a tar, and is unpacked in a thread
before anybody hears of it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from rain.core.content import DIRECTORY
from rain.core.errors import RainException
from rain.core.ids import object_name
from rain.data.tree_archive import TreeArchive
from rain.data.unpack import unpack
from rain.protocol.transfer import MAX_PARCEL_OBJECT, Peer
from rain.wire.holder import Stored
from rain.wire.incoming import PART_PREFIX, Unwritten
from rain.worker.machine.effects import Fetch
from rain.worker.machine.events import Event, InputsArrived, InputsUnavailable
from rain.worker.store import ObjectStore

_log = logging.getLogger("rain.worker.transfers")

#: This machine's trouble, and no fault of the archive.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


class Source(Protocol):
    """Where objects come from; see `rain.wire.fetcher`."""

    def learn(self, peers: Iterable[Peer]) -> None: ...

    async def get(self, holder: int, session: int, objects: Sequence[int]) -> list[Stored | Unwritten | None]: ...


class Transfers:
    """Carries out `Fetch` orders; every object is answered once, unless its session is closed before."""

    def __init__(self, source: Source, store: ObjectStore, post: Callable[[Event], None]) -> None:
        self._source = source
        self._store = store
        self._post = post
        self._running: defaultdict[int, set[asyncio.Task[None]]] = defaultdict(set)
        self._n_unpacked = 0

    def learn(self, peers: Iterable[Peer]) -> None:
        """Where holders are."""
        self._source.learn(peers)

    def fetch(self, order: Fetch) -> None:
        """Starts to fetch: small objects together, large ones each by itself, so that none waits for another."""
        small = []
        for obj, size in zip(order.objects, order.sizes, strict=True):
            if size > MAX_PARCEL_OBJECT:
                self._start(order, [obj])
            else:
                small.append(obj)
        if small:
            self._start(order, small)

    def close_session(self, session: int) -> None:
        """Gives up what is under way for a session; no events follow, and nothing of it stays."""
        for task in self._running.pop(session, ()):
            task.cancel()

    async def close(self) -> None:
        """Gives up everything."""
        tasks = [task for running in self._running.values() for task in running]
        for session in list(self._running):
            self.close_session(session)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, order: Fetch, objects: list[int]) -> None:
        task = asyncio.get_running_loop().create_task(self._fetch(order.session, order.holder, objects))
        running = self._running[order.session]
        running.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            running.discard(task)
            if not task.cancelled():
                # Our own mistake, if it raised: raised again here, the loop hears of it at once.
                task.result()

        task.add_done_callback(ended)

    async def _fetch(self, session: int, holder: int, objects: list[int]) -> None:
        arrived, sizes = array("I"), array("Q")
        #: By the reason for which they could not be written here.
        missing: dict[str, array[int]] = {}
        try:
            found = await self._source.get(holder, session, objects)
            for obj, stored in zip(objects, found, strict=True):
                taken = await self._take(session, obj, stored) if isinstance(stored, Stored) else stored
                if isinstance(taken, int):
                    arrived.append(obj)
                    sizes.append(taken)
                else:
                    reason = taken.reason if taken is not None else ""
                    missing.setdefault(reason, array("I")).append(obj)
        except asyncio.CancelledError:
            # Files that were complete already belong to nobody now.
            self._store.discard(session, objects)
            raise
        if arrived:
            self._post(InputsArrived(session, arrived, sizes))
        for reason, lacking in missing.items():
            self._post(InputsUnavailable(session, holder, lacking, reason))

    async def _take(self, session: int, obj: int, stored: Stored) -> int | Unwritten | None:
        """Its size; None where its file is gone."""
        if isinstance(stored.data, bytes):
            self._store.put_bytes(session, obj, stored.data, stored.content_type)
            return stored.size
        if stored.content_type == DIRECTORY:
            if self._store.path(session, obj).is_dir():
                return self._store.adopt_tree(session, obj, stored.size)
            if (unpacked := await self._unpack(session, obj)) is not None:
                return unpacked
        return self._store.adopt_file(session, obj, stored.content_type)

    async def _unpack(self, session: int, obj: int) -> int | Unwritten | None:
        """Turns the tar at the object's path into its folder; None where that cannot be: then the task is to say so."""
        archive = self._store.path(session, obj)
        self._n_unpacked += 1
        part = archive.with_name(f"{PART_PREFIX}{self._n_unpacked}-{object_name(session, obj)}")
        unpacking = asyncio.get_running_loop().run_in_executor(None, _unpacked, archive, part)
        try:
            unpacked = await asyncio.shield(unpacking)
        except asyncio.CancelledError:
            # Nobody stops the thread, so what it makes is removed when it is done.
            unpacking.add_done_callback(lambda _: self._store.remove_part(part))
            raise
        if isinstance(unpacked, int):
            return self._store.adopt_tree(session, obj, unpacked, source=part)
        if unpacked is not None:
            self._store.discard(session, [obj])
        return unpacked


def _unpacked(archive: Path, part: Path) -> int | Unwritten | None:
    """Makes a sealed folder of a tar; bytes that the folder's tar has, which need not be those of this one."""
    try:
        unpack(archive, part, read_only=True)
        return TreeArchive(part).size
    except RainException as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _NO_ROOM:
            _log.warning("a directory object cannot be unpacked: %s", error)
            return Unwritten(error.__cause__.strerror or str(error.__cause__))
        _log.warning("a directory object is no directory: %s", error)
        return None
