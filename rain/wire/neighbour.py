"""A holder that may run on this machine: its files are linked instead of fetched, once it is known where they lie."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rain.protocol.transfer import Entry
from rain.wire.exchange import Exchange
from rain.wire.shared_store import LinkTree, NearStore


class Neighbour:
    """What one holder's store is to this program; it is asked for at the first file that the holder names."""

    def __init__(self, exchange: Exchange, link_tree: LinkTree | None) -> None:
        self._exchange = exchange
        self._link_tree = link_tree
        self._store: NearStore | None = None
        self._is_known = False
        self._asking = asyncio.Lock()

    async def take(self, entry: Entry, target: Path) -> bool:
        """Makes `target` a link to the entry's file, or a folder of links; False where it has to be fetched."""
        if not entry.file:
            return False
        async with self._asking:
            if not self._is_known:
                await self._ask()
        if self._store is None:
            return False
        if self._store.link(entry, target):
            return True
        return self._link_tree is not None and await self._store.link_tree(entry, target, self._link_tree)

    def close(self) -> None:
        """Nothing is taken any more."""
        self._is_known = True
        if self._store is not None:
            self._store.close()
            self._store = None

    async def _ask(self) -> None:
        said = await self._exchange.get_store()
        if said is not None and not self._is_known:
            self._store = NearStore.enter(said)
        self._is_known = True
