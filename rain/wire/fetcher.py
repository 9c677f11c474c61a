"""The asking side of data transfer: gets objects from holders, one connection each; workers and clients have one.

Small objects come many at once, as bytes. Large ones are linked where the holder's files are this user's on this
machine; else they are streamed in windows of ranges into a file that appears under its name only when it is whole. What
is in flight is bounded in all, whatever is asked for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from rain.core.errors import RainException
from rain.core.ids import object_name
from rain.protocol.transfer import MAX_OBJECTS_PER_GET, MAX_PARCEL_OBJECT, Entry, Peer
from rain.wire.budget import ByteBudget
from rain.wire.endpoint import Context
from rain.wire.exchange import Exchange
from rain.wire.holder import Stored
from rain.wire.incoming import Unwritten, stream_to_file
from rain.wire.keys import KeyPair
from rain.wire.neighbour import Neighbour
from rain.wire.shared_store import LinkTree

_log = logging.getLogger("rain.wire.fetcher")

#: What all answers that were asked for and did not arrive may come to.
MAX_BYTES_IN_FLIGHT = 64 << 20
#: Objects that are streamed from one holder at the same time.
STREAMS_PER_HOLDER = 4
#: Reaching a holder may take this long.
CONNECT_LIMIT_S = 10.0
#: A holder that owes answers and says nothing for so long is given up.
SILENCE_LIMIT_S = 60.0
#: A connection that nobody used for so long is closed.
IDLE_LIMIT_S = 60.0
#: How often connections are looked at.
CHECK_S = 5.0


class Fetcher:
    """Gets objects from holders into memory (up to 64 KiB each) or into files of `directory`; lives in one loop.

    `keypair` is the one by which holders let this program in. `share`: files of holders on this machine are linked;
    so are their directories where `link_tree` says how, and come as tars without it.
    """

    def __init__(
        self,
        context: Context,
        keypair: KeyPair,
        directory: Path,
        *,
        share: bool = True,
        link_tree: LinkTree | None = None,
    ) -> None:
        self._share = share
        self._link_tree = link_tree
        self._context = context
        self._keypair = keypair
        self._directory = directory
        self._loop = asyncio.get_running_loop()
        self._budget = ByteBudget(MAX_BYTES_IN_FLIGHT)
        #: A disk that is busy keeps this thread waiting, and not the loop.
        self._writer = ThreadPoolExecutor(1, "rain-writer")
        self._endpoints: dict[int, Peer] = {}
        self._sources: dict[int, _Source] = {}
        self._check_timer: asyncio.TimerHandle | None = None
        self._closed = False

    def learn(self, peers: Iterable[Peer]) -> None:
        """Where holders listen; what was learnt before of the same number is replaced."""
        for peer in peers:
            if self._endpoints.get(peer.number) not in (None, peer):
                self._give_up(peer.number)
            self._endpoints[peer.number] = peer

    async def get(self, holder: int, session: int, objects: Sequence[int]) -> list[Stored | Unwritten | None]:
        """The objects, in the order asked for; None for those that this holder has not got or did not send in time.

        Large objects are in `directory` under their names, read-only; they belong to the caller, also when cancelled.
        A directory is its tar, or a folder where it could be linked. `Unwritten` stands for those for which there was
        no room.
        """
        unique = list(dict.fromkeys(objects))
        found: dict[int, Stored | Unwritten] = {}
        source = self._source(holder)
        if source is not None:
            parts = [unique[i : i + MAX_OBJECTS_PER_GET] for i in range(0, len(unique), MAX_OBJECTS_PER_GET)]
            for part in parts:
                await source.fetch(session, part, found)
        return [found.get(obj) for obj in objects]

    def close(self) -> None:
        """Closes all connections; whoever waits gets None."""
        self._closed = True
        if self._check_timer is not None:
            self._check_timer.cancel()
        for holder in list(self._sources):
            self._give_up(holder)
        self._writer.shutdown(wait=False)

    def _source(self, holder: int) -> _Source | None:
        peer = self._endpoints.get(holder)
        if self._closed or peer is None:
            return None
        source = self._sources.get(holder)
        if source is None or source.exchange.lost:
            if source is not None:
                source.close()
            exchange = Exchange(self._context, peer, self._keypair, self._budget)
            neighbour = Neighbour(exchange, self._link_tree) if self._share else None
            source = self._sources[holder] = _Source(exchange, neighbour, self._directory, self._writer)
        if self._check_timer is None:
            self._check_timer = self._loop.call_later(CHECK_S, self._check)
        return source

    def _give_up(self, holder: int) -> None:
        source = self._sources.pop(holder, None)
        if source is not None:
            source.close()

    def _check(self) -> None:
        self._check_timer = None
        now = time.monotonic()
        for holder, source in list(self._sources.items()):
            quiet_s = now - source.exchange.last_news
            if source.exchange.waiting:
                if quiet_s > SILENCE_LIMIT_S:
                    _log.warning("gave up holder %d: it owes answers and said nothing for %.0f s", holder, quiet_s)
                    self._give_up(holder)
            elif not source.users and quiet_s > IDLE_LIMIT_S:
                self._give_up(holder)
        if self._sources:
            self._check_timer = self._loop.call_later(CHECK_S, self._check)


class _Source:
    """One holder, its connection, and how many objects it streams to us."""

    def __init__(self, exchange: Exchange, neighbour: Neighbour | None, directory: Path, writer: Executor) -> None:
        self.exchange = exchange
        self._neighbour = neighbour
        self._writer = writer
        #: Calls of `fetch` that are under way.
        self.users = 0
        self._directory = directory
        self._streams = asyncio.Semaphore(STREAMS_PER_HOLDER)
        self._connecting = asyncio.Lock()

    def close(self) -> None:
        """Ends the connection; who waits gets nothing more."""
        self.exchange.close()
        if self._neighbour is not None:
            self._neighbour.close()

    async def fetch(self, session: int, objects: Sequence[int], found: dict[int, Stored | Unwritten]) -> None:
        """Adds to `found` what this holder has of the objects."""
        self.users += 1
        try:
            async with self._connecting:
                await self.exchange.open(CONNECT_LIMIT_S)
            large = await self._fetch_small(session, objects, found)
            async with asyncio.TaskGroup() as group:
                for entry in large:
                    group.create_task(self._stream(session, entry, found))
        except RainException as error:
            _log.warning("a holder cannot be reached: %s", error)
        finally:
            self.users -= 1

    async def _fetch_small(
        self, session: int, objects: Sequence[int], found: dict[int, Stored | Unwritten]
    ) -> list[Entry]:
        """Gets the small ones, as many parcels as it takes; the entries of the large ones."""
        large: list[Entry] = []
        while objects:
            parcel = await self.exchange.get(session, objects)
            if parcel is None:
                return []
            for entry, data in parcel:
                if data is not None:
                    found[entry.object] = Stored(len(data), entry.content_type, data)
                elif entry.size > MAX_PARCEL_OBJECT:
                    large.append(entry)
            objects = objects[len(parcel) :]
        return large

    async def _stream(self, session: int, entry: Entry, found: dict[int, Stored | Unwritten]) -> None:
        async with self._streams:
            path = self._directory / object_name(session, entry.object)
            near = self._neighbour is not None and await self._neighbour.take(entry, path)
            try:
                if near or await stream_to_file(self.exchange, session, entry, path, self._writer):
                    found[entry.object] = Stored(entry.size, entry.content_type, path)
            except OSError as error:
                _log.warning("object not received: path=%s: %s", path, error)
                found[entry.object] = Unwritten(error.strerror or str(error))
