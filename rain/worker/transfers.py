"""Inputs on their way to this worker: orders to fetch become events when the objects are here, or cannot be had."""

from __future__ import annotations

import asyncio
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from rain.protocol.client import Peer
from rain.protocol.transfer import MAX_PARCEL_OBJECT
from rain.wire.holder import Stored
from rain.worker.machine.effects import Fetch
from rain.worker.machine.events import Event, InputsArrived, InputsUnavailable
from rain.worker.store import ObjectStore


class Source(Protocol):
    """Where objects come from; see `rain.wire.fetcher`."""

    def learn(self, peers: Iterable[Peer]) -> None: ...

    async def get(self, holder: int, session: int, objects: Sequence[int]) -> list[Stored | None]: ...


class Transfers:
    """Carries out `Fetch` orders; every object is answered once, unless its session is closed before."""

    def __init__(self, source: Source, store: ObjectStore, post: Callable[[Event], None]) -> None:
        self._source = source
        self._store = store
        self._post = post
        self._running: defaultdict[int, set[asyncio.Task[None]]] = defaultdict(set)

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
        try:
            found = await self._source.get(holder, session, objects)
        except asyncio.CancelledError:
            # Files that were complete already belong to nobody now.
            self._store.discard(session, objects)
            raise
        arrived, sizes, missing = array("I"), array("Q"), array("I")
        for obj, stored in zip(objects, found, strict=True):
            size = None if stored is None else self._take(session, obj, stored)
            if size is None:
                missing.append(obj)
            else:
                arrived.append(obj)
                sizes.append(size)
        if arrived:
            self._post(InputsArrived(session, arrived, sizes))
        if missing:
            self._post(InputsUnavailable(session, holder, missing))

    def _take(self, session: int, obj: int, stored: Stored) -> int | None:
        if isinstance(stored.data, Path):
            return self._store.adopt_file(session, obj, stored.content_type)
        self._store.put_bytes(session, obj, stored.data, stored.content_type)
        return stored.size
