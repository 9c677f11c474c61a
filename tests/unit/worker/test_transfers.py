"""Orders to fetch become events, each object once; a closed session leaves nothing."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path

from rain.protocol.transfer import Peer
from rain.wire.holder import Stored
from rain.wire.incoming import Unwritten
from rain.worker.machine.effects import Fetch
from rain.worker.machine.events import Event, InputsArrived, InputsUnavailable
from rain.worker.store import ObjectStore
from rain.worker.transfers import Transfers

LARGE = 1 << 20


class Holders:
    """What holders have, and a gate that keeps large objects back until it is opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.small: dict[int, bytes] = {}
        self.large: set[int] = set()
        self.unwritten: set[int] = set()
        self.opened = asyncio.Event()
        self.reached = asyncio.Event()
        self.asked: list[tuple[int, ...]] = []

    def learn(self, peers: Iterable[Peer]) -> None:
        raise AssertionError("nobody asked for that")

    async def get(self, holder: int, session: int, objects: Sequence[int]) -> list[Stored | Unwritten | None]:
        self.asked.append(tuple(objects))
        return [await self._one(session, obj) for obj in objects]

    async def _one(self, session: int, obj: int) -> Stored | Unwritten | None:
        if obj in self.unwritten:
            return Unwritten("the disk is full")
        if obj in self.large:
            path = self.folder / f"s{session}.o{obj}"
            path.write_bytes(bytes(LARGE))
            self.reached.set()
            await self.opened.wait()
            return Stored(LARGE, "blob", path)
        data = self.small.get(obj)
        return None if data is None else Stored(len(data), None, data)


def order(*objects: tuple[int, int]) -> Fetch:
    return Fetch(1, 2, array("I", [obj for obj, _ in objects]), array("Q", [size for _, size in objects]))


class Bench:
    def __init__(self, folder: Path) -> None:
        self.store = ObjectStore(folder)
        self.holders = Holders(folder)
        self.events: list[Event] = []
        self.news = asyncio.Event()
        self.transfers = Transfers(self.holders, self.store, self._post)

    def _post(self, event: Event) -> None:
        self.events.append(event)
        self.news.set()

    async def next_events(self) -> list[Event]:
        async with asyncio.timeout(10):
            await self.news.wait()
        self.news.clear()
        events, self.events = self.events, []
        return events


def test_what_arrives_and_what_does_not_is_said_once_each(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        bench.holders.small = {1: b"a", 3: b"ccc"}
        bench.transfers.fetch(order((1, 1), (2, 5), (3, 3)))
        assert await bench.next_events() == [
            InputsArrived(1, array("I", [1, 3]), array("Q", [1, 3])),
            InputsUnavailable(1, 2, array("I", [2])),
        ]
        assert bench.store.get(1, 3) == Stored(3, None, b"ccc")
        await bench.transfers.close()

    asyncio.run(main())


def test_what_could_not_be_written_is_said_apart_from_what_the_holder_has_not(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        bench.holders.unwritten = {1, 3}
        bench.transfers.fetch(order((1, 1), (2, 5), (3, 3)))
        assert await bench.next_events() == [
            InputsUnavailable(1, 2, array("I", [1, 3]), "the disk is full"),
            InputsUnavailable(1, 2, array("I", [2])),
        ]
        await bench.transfers.close()

    asyncio.run(main())


def test_small_objects_do_not_wait_for_a_large_one(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        bench.holders.small = {1: b"a", 3: b"c"}
        bench.holders.large = {2}
        bench.transfers.fetch(order((1, 1), (2, LARGE), (3, 1)))
        assert await bench.next_events() == [InputsArrived(1, array("I", [1, 3]), array("Q", [1, 1]))]
        bench.holders.opened.set()
        assert await bench.next_events() == [InputsArrived(1, array("I", [2]), array("Q", [LARGE]))]
        assert bench.store.get(1, 2) == Stored(LARGE, "blob", tmp_path / "s1.o2")
        assert sorted(bench.holders.asked) == [(1, 3), (2,)]
        await bench.transfers.close()

    asyncio.run(main())


def test_fetches_of_a_closed_session_end_without_a_word_or_a_file(tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        bench.holders.large = {2}
        bench.transfers.fetch(order((2, LARGE)))
        await bench.holders.reached.wait()
        bench.transfers.close_session(1)
        bench.holders.opened.set()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others)
        assert bench.events == []

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []
