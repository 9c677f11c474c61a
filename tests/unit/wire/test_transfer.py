"""Holder and fetcher against each other over real, encrypted sockets of the loopback address."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rain.protocol.codec import encode
from rain.protocol.transfer import (
    CHUNKS_IN_FLIGHT,
    MAX_PARCEL_OBJECT,
    Chunk,
    Entry,
    Get,
    GetRange,
    Parcel,
    Peer,
    from_holder_decoder,
    to_holder_decoder,
)
from rain.wire import fetcher
from rain.wire.budget import ByteBudget
from rain.wire.endpoint import DATA, Frames, close_context, new_context
from rain.wire.fetcher import MAX_BYTES_IN_FLIGHT, Fetcher
from rain.wire.gate import Gate
from rain.wire.holder import PARCEL_BYTES, Holder, Stored
from rain.wire.incoming import PartFile, Unwritten
from rain.wire.keys import new_keypair
from rain.wire.link import Link
from rain.wire.peers import Peers

LARGE = os.urandom((5 << 20) + 12345)


class World:
    """Two sides in one loop: a holder of `stored` and a fetcher that it lets in."""

    def __init__(self, folder: Path) -> None:
        self.stored: dict[tuple[int, int], Stored] = {}
        self.folder = folder
        self.inbox = folder / "in"
        self.inbox.mkdir()
        self.context = new_context()
        self.gate = Gate(self.context)
        self.reader = new_keypair()
        self.gate.allow(self.reader.public, "worker")
        self.holder_keys = new_keypair()
        self.asked = 0
        self.other: Peers | None = None
        #: Set when the fetcher's connection to the other holder has ended.
        self.left = asyncio.Event()
        self.holder = Holder(self.context, self.gate, self.holder_keys, self._look, roles=("worker",))
        self.peer = self._endpoint(1, self.holder.bind("127.0.0.1", 0))
        self.fetcher = Fetcher(self.context, self.reader, self.inbox)
        self.fetcher.learn([self.peer])

    def _endpoint(self, number: int, port: int) -> Peer:
        return Peer(number, "127.0.0.1", port, self.holder_keys.public.decode())

    def _look(self, session: int, obj: int) -> Stored | None:
        self.asked += 1
        return self.stored.get((session, obj))

    def put(self, obj: int, data: bytes, content_type: str | None = None) -> None:
        self.stored[1, obj] = Stored(len(data), content_type, data)

    def put_file(self, obj: int, data: bytes) -> Path:
        path = self.folder / f"held-{obj}"
        path.write_bytes(data)
        self.stored[1, obj] = Stored(len(data), "blob", path)
        return path

    def listen(self, on_request: Callable[[Peers, bytes, Get | GetRange], None], number: int = 2) -> None:
        """Another holder, number 2, whose answers are the test's own."""

        def on_batch(batch: list[tuple[bytes, str, Frames]]) -> None:
            for sender, _, frames in batch:
                on_request(peers, sender, to_holder_decoder.decode(frames[0]))

        peers = Peers(
            self.context,
            self.gate,
            self.holder_keys,
            domain="other",
            limits=DATA,
            on_batch=on_batch,
            on_gone=lambda _: self.left.set(),
            roles=("worker",),
        )
        self.fetcher.learn([self._endpoint(number, peers.bind("127.0.0.1", 0))])
        self.other = peers

    def close(self) -> None:
        self.fetcher.close()
        self.holder.close()
        if self.other is not None:
            self.other.close()
        self.gate.close()
        close_context(self.context)


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        made = World(folder)
        stack.callback(made.close)
        yield made


def run(scenario: Callable[[World], Coroutine[Any, Any, None]], folder: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), world(folder) as made:
            await scenario(made)

    asyncio.run(main())


def test_small_objects_arrive_as_bytes_with_their_content_types(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        w.put(3, b"three", "text")
        w.put(4, b"")
        assert await w.fetcher.get(1, 1, [4, 3]) == [Stored(0, None, b""), Stored(5, "text", b"three")]

    run(scenario, tmp_path)


def test_many_small_objects_take_one_question(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        for obj in range(1000):
            w.put(obj, b"%d" % obj)
        got = await w.fetcher.get(1, 1, list(range(1000)))
        assert [each and each.data for each in got] == [b"%d" % obj for obj in range(1000)]
        assert w.asked == 1000

    run(scenario, tmp_path)


def test_small_objects_that_exceed_one_parcel_all_arrive(tmp_path: Path) -> None:
    count = 2 * PARCEL_BYTES // MAX_PARCEL_OBJECT + 3

    async def scenario(w: World) -> None:
        for obj in range(count):
            w.put(obj, bytes([obj]) * MAX_PARCEL_OBJECT)
        got = await w.fetcher.get(1, 1, list(range(count)))
        assert all(each is not None and each.data == bytes([obj]) * MAX_PARCEL_OBJECT for obj, each in enumerate(got))

    run(scenario, tmp_path)


def test_more_objects_than_one_question_may_name_all_arrive(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        for obj in range(5000):
            w.put(obj, b"x")
        assert None not in await w.fetcher.get(1, 1, list(range(5000)))

    run(scenario, tmp_path)


@pytest.mark.parametrize("as_file", [False, True])
def test_a_large_object_arrives_as_a_read_only_file(tmp_path: Path, as_file: bool) -> None:
    async def scenario(w: World) -> None:
        if as_file:
            w.put_file(7, LARGE)
        else:
            w.put(7, LARGE, "blob")
        [got] = await w.fetcher.get(1, 1, [7])
        path = w.inbox / "s1.o7"
        assert got == Stored(len(LARGE), "blob", path)
        assert path.read_bytes() == LARGE
        status = path.stat()
        assert status.st_mode & 0o777 == 0o444
        assert status.st_mtime_ns <= status.st_ctime_ns - 900_000_000, "so that any write to it shows"
        assert list(w.inbox.iterdir()) == [path]

    run(scenario, tmp_path)


def test_several_large_objects_and_small_ones_arrive_in_the_order_asked(tmp_path: Path) -> None:
    sizes = [(1 << 20) + n for n in range(6)]

    async def scenario(w: World) -> None:
        for obj, size in enumerate(sizes):
            w.put_file(obj, bytes([obj]) * size)
        w.put(10, b"small")
        got = await w.fetcher.get(1, 1, [5, 10, 4, 3, 99, 2, 1, 0, 5])
        assert [each and each.size for each in got] == [
            sizes[5], 5, sizes[4], sizes[3], None, sizes[2], sizes[1], sizes[0], sizes[5]
        ]  # fmt: skip
        assert all((w.inbox / f"s1.o{obj}").read_bytes() == bytes([obj]) * size for obj, size in enumerate(sizes))

    run(scenario, tmp_path)


def test_a_disk_that_keeps_writers_waiting_does_not_keep_the_loop_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write = threading.Event()
    write = PartFile.write

    def write_slowly(part: PartFile, data: bytes | memoryview, offset: int) -> None:
        assert may_write.wait(10)
        write(part, data, offset)

    monkeypatch.setattr(PartFile, "write", write_slowly)

    async def scenario(w: World) -> None:
        w.put_file(1, LARGE)
        w.put(2, b"small")
        large = asyncio.create_task(w.fetcher.get(1, 1, [1]))
        assert await w.fetcher.get(1, 1, [2]) == [Stored(5, None, b"small")]
        assert not large.done()
        may_write.set()
        assert await large == [Stored(len(LARGE), "blob", w.inbox / "s1.o1")]
        assert (w.inbox / "s1.o1").read_bytes() == LARGE

    run(scenario, tmp_path)


def test_an_object_for_which_there_is_no_room_is_not_taken_for_one_that_the_holder_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(part: PartFile, data: bytes | memoryview, offset: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(PartFile, "write", fail)

    async def scenario(w: World) -> None:
        w.put_file(1, LARGE)
        w.put(2, b"small")
        got = await w.fetcher.get(1, 1, [1, 2, 3])
        assert got == [Unwritten("No space left on device"), Stored(5, None, b"small"), None]
        assert list(w.inbox.iterdir()) == []

    run(scenario, tmp_path)


def test_a_fetch_that_is_given_up_while_it_is_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, may_write = threading.Event(), threading.Event()
    write = PartFile.write

    def write_slowly(part: PartFile, data: bytes | memoryview, offset: int) -> None:
        began.set()
        assert may_write.wait(10)
        write(part, data, offset)

    monkeypatch.setattr(PartFile, "write", write_slowly)

    async def scenario(w: World) -> None:
        w.put_file(1, LARGE)
        fetching = asyncio.create_task(w.fetcher.get(1, 1, [1]))
        assert await asyncio.to_thread(began.wait, 10)
        fetching.cancel()
        may_write.set()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        assert list(w.inbox.iterdir()) == []

    run(scenario, tmp_path)


def test_what_is_not_in_memory_is_read_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()
    read = os.pread

    def pread(fd: int, length: int, offset: int) -> bytes:
        threads.add(threading.get_ident())
        return read(fd, length, offset)

    def would_block(*args: object) -> int:
        raise BlockingIOError(errno.EAGAIN, "not cached")

    monkeypatch.setattr("rain.wire.holder.os.pread", pread)
    monkeypatch.setattr("rain.wire.holder.os.preadv", would_block)

    async def scenario(w: World) -> None:
        w.put_file(1, LARGE)
        assert await w.fetcher.get(1, 1, [1]) == [Stored(len(LARGE), "blob", w.inbox / "s1.o1")]
        assert (w.inbox / "s1.o1").read_bytes() == LARGE

    run(scenario, tmp_path)
    assert threads
    assert threading.get_ident() not in threads


class Worked:
    """Bytes that are worked out in a thread, once they may be."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.may = threading.Event()
        self.threads: set[int] = set()

    def read(self, offset: int, length: int) -> bytes | None:
        assert self.may.wait(10)
        self.threads.add(threading.get_ident())
        return self.data[offset : offset + length] or None


def test_what_is_worked_out_is_read_in_threads_and_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        large, small, gone = Worked(LARGE), Worked(b"small"), Worked(b"")
        w.stored[1, 1] = Stored(len(LARGE), "dir", large)
        w.stored[1, 2] = Stored(5, "dir", small)
        w.stored[1, 3] = Stored(len(LARGE), "dir", gone)
        w.put(4, b"at once")
        slow = asyncio.create_task(w.fetcher.get(1, 1, [1, 2, 3]))
        assert await w.fetcher.get(1, 1, [4]) == [Stored(7, None, b"at once")]
        for each in (large, small, gone):
            each.may.set()
        path = w.inbox / "s1.o1"
        assert await slow == [Stored(len(LARGE), "dir", path), Stored(5, "dir", b"small"), None]
        assert path.read_bytes() == LARGE
        assert threading.get_ident() not in large.threads | small.threads

    run(scenario, tmp_path)


def test_missing_objects_and_unknown_holders_are_none(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        w.put(1, b"here")
        got = await w.fetcher.get(1, 1, [0, 1, 2])
        assert [each is not None for each in got] == [False, True, False]
        assert await w.fetcher.get(1, 2, [1]) == [None]
        assert await w.fetcher.get(77, 1, [1]) == [None]

    run(scenario, tmp_path)


def test_a_file_that_vanished_or_shrank_is_missing_and_leaves_nothing(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        w.put_file(1, LARGE).unlink()
        os.truncate(w.put_file(2, LARGE), 3 << 20)
        w.put_file(3, b"tiny").unlink()
        w.put(4, b"here")
        assert await w.fetcher.get(1, 1, [1, 2, 3, 4]) == [None, None, None, Stored(4, None, b"here")]
        assert list(w.inbox.iterdir()) == []

    run(scenario, tmp_path)


def test_an_unlisted_key_is_refused(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        w.put(1, b"secret")
        stranger = Fetcher(w.context, new_keypair(), w.inbox)
        stranger.learn([w.peer])
        assert await stranger.get(1, 1, [1]) == [None]
        assert w.asked == 0
        stranger.close()

    run(scenario, tmp_path)


def test_the_data_endpoint_proves_that_it_refuses_strangers(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        await w.holder.self_check()

    run(scenario, tmp_path)


def test_nobody_listening_is_none_and_a_later_try_is_made_anew(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        w.put(1, b"x")
        w.fetcher.learn([Peer(5, "127.0.0.1", 1, w.peer.key)])
        assert await w.fetcher.get(5, 1, [1]) == [None]
        w.fetcher.learn([Peer(5, "127.0.0.1", w.peer.port, w.peer.key)])
        assert await w.fetcher.get(5, 1, [1]) == [Stored(1, None, b"x")]

    run(scenario, tmp_path)


def test_a_holder_that_dies_in_the_middle_answers_none_and_leaves_no_file(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        def die_at_third_range(peers: Peers, sender: bytes, request: Get | GetRange) -> None:
            if isinstance(request, Get):
                entry = Entry(1, 100 << 20, None)
                peers.send(sender, [encode(Parcel(request.request, (entry,))), b""])
            elif request.offset >= 2 << 20:
                peers.close()
            else:
                header = Chunk(request.request, 1, request.offset)
                peers.send(sender, [encode(header), bytes(request.length)])

        w.listen(die_at_third_range)
        assert await w.fetcher.get(2, 1, [1]) == [None]
        assert list(w.inbox.iterdir()) == []

    run(scenario, tmp_path)


NONSENSE = {
    "other objects": [Entry(9, -1)],
    "too few entries": [],
    "more bytes than came": [Entry(1, 50, None, True)],
    "a negative size": [Entry(1, -5, None, True)],
    "fewer bytes than came": [Entry(1, 2, None, True)],
    "small and never sent": [Entry(1, 10)],
    "larger than any disk": [Entry(1, 1 << 61)],
}


@pytest.mark.parametrize("entries", NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_from_a_holder_is_none(tmp_path: Path, entries: list[Entry]) -> None:
    async def scenario(w: World) -> None:
        def answer(peers: Peers, sender: bytes, request: Get | GetRange) -> None:
            peers.send(sender, [encode(Parcel(request.request, tuple(entries))), b"12345"[: len(entries) * 5]])

        w.listen(answer)
        assert await w.fetcher.get(2, 1, [1]) == [None]
        assert list(w.inbox.iterdir()) == []

    run(scenario, tmp_path)


def test_a_range_of_the_wrong_length_is_none(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        def answer(peers: Peers, sender: bytes, request: Get | GetRange) -> None:
            if isinstance(request, Get):
                peers.send(sender, [encode(Parcel(request.request, (Entry(1, 1 << 20),))), b""])
            else:
                peers.send(sender, [encode(Chunk(request.request, 1, request.offset)), b"short"])

        w.listen(answer)
        assert await w.fetcher.get(2, 1, [1]) == [None]
        assert list(w.inbox.iterdir()) == []

    run(scenario, tmp_path)


def test_a_cancelled_get_leaves_no_half_file_and_the_connection_serves_on(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        reached = asyncio.Event()

        def stall(peers: Peers, sender: bytes, request: Get | GetRange) -> None:
            if isinstance(request, Get):
                size = (100 << 20) if request.objects == (1,) else -1
                peers.send(sender, [encode(Parcel(request.request, (Entry(request.objects[0], size),))), b""])
            else:
                reached.set()

        w.listen(stall)
        getting = asyncio.create_task(w.fetcher.get(2, 1, [1]))
        await reached.wait()
        getting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await getting
        assert list(w.inbox.iterdir()) == []
        assert await w.fetcher.get(2, 1, [2]) == [None]

    run(scenario, tmp_path)


def test_a_holder_that_owes_an_answer_and_stays_silent_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "CHECK_S", 0.01)
    monkeypatch.setattr(fetcher, "SILENCE_LIMIT_S", 0.05)

    async def scenario(w: World) -> None:
        w.listen(lambda peers, sender, request: None)
        assert await w.fetcher.get(2, 1, [1]) == [None]
        await w.left.wait()

    run(scenario, tmp_path)


def test_an_idle_connection_is_closed_and_made_again_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "CHECK_S", 0.01)
    monkeypatch.setattr(fetcher, "IDLE_LIMIT_S", 0.05)

    async def scenario(w: World) -> None:
        def answer(peers: Peers, sender: bytes, request: Get | GetRange) -> None:
            peers.send(sender, [encode(Parcel(request.request, (Entry(1, 2, None, True),))), b"hi"])

        w.listen(answer)
        for _ in range(2):
            w.left.clear()
            assert await w.fetcher.get(2, 1, [1]) == [Stored(2, None, b"hi")]
            await w.left.wait()

    run(scenario, tmp_path)


def test_a_connection_that_is_made_serves_all_who_ask_meanwhile(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        for obj in range(50):
            w.put(obj, b"%d" % obj)
        first = asyncio.create_task(w.fetcher.get(1, 1, [0]))
        others = [asyncio.create_task(w.fetcher.get(1, 1, [obj])) for obj in range(1, 50)]
        await asyncio.sleep(0)
        first.cancel()
        got = await asyncio.gather(*others)
        assert [found[0] and found[0].data for found in got] == [b"%d" % obj for obj in range(1, 50)]

    run(scenario, tmp_path)


def test_closing_the_fetcher_answers_all_who_wait(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        asked = asyncio.Event()
        w.listen(lambda peers, sender, request: asked.set())
        getting = asyncio.create_task(w.fetcher.get(2, 1, [1]))
        await asked.wait()
        w.fetcher.close()
        assert await getting == [None]
        assert await w.fetcher.get(1, 1, [1]) == [None]

    run(scenario, tmp_path)


def test_what_is_in_flight_stays_within_the_windows(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        open_ranges: list[tuple[bytes, GetRange]] = []
        most: dict[int, int] = {}

        def hold_back(peers: Peers, sender: bytes, request: Get | GetRange) -> None:
            if isinstance(request, Get):
                entries = tuple(Entry(obj, 9 << 20) for obj in request.objects)
                peers.send(sender, [encode(Parcel(request.request, entries)), b""])
                return
            open_ranges.append((sender, request))
            objects = {each.object for _, each in open_ranges}
            assert len(objects) <= 4
            assert len(open_ranges) <= 4 * CHUNKS_IN_FLIGHT
            most[len(objects)] = len(open_ranges)
            if len(open_ranges) == 4 * CHUNKS_IN_FLIGHT or request.offset >= 8 << 20:
                for asker, each in open_ranges:
                    header = encode(Chunk(each.request, each.object, each.offset))
                    peers.send(asker, [header, bytes(each.length)])
                open_ranges.clear()

        w.listen(hold_back)
        got = await w.fetcher.get(2, 1, [1, 2, 3, 4])
        assert None not in got
        assert most[4] == 4 * CHUNKS_IN_FLIGHT

    run(scenario, tmp_path)


def test_a_peer_that_asks_for_too_much_is_dropped_and_others_are_served(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        w.put(1, b"x")
        answers: asyncio.Queue[Frames] = asyncio.Queue()

        def on_batch(batch: list[Frames]) -> None:
            for frames in batch:
                answers.put_nowait(frames)

        link = await Link.connect(
            w.context,
            "127.0.0.1",
            w.peer.port,
            keypair=w.reader,
            server_key=w.holder_keys.public,
            on_batch=on_batch,
            on_lost=lambda _: None,
            limits=DATA,
        )
        link.send([encode(Get(0, 1, (1,)))])
        assert isinstance(from_holder_decoder.decode((await answers.get())[0]), Parcel)
        link.send([encode(GetRange(1, 1, 1, 0, 2 << 20))])
        link.send([encode(Get(2, 1, (1,)))])
        assert await w.fetcher.get(1, 1, [1]) == [Stored(1, None, b"x")]
        assert answers.empty()
        link.close()

    run(scenario, tmp_path)


def test_a_budget_serves_in_order_and_gives_back_what_a_cancelled_one_was_granted() -> None:
    async def main() -> None:
        budget = ByteBudget(10)
        await budget.take(6)
        large = asyncio.create_task(budget.take(8))
        small = asyncio.create_task(budget.take(2))
        await asyncio.sleep(0)
        assert not large.done()
        assert not small.done(), "a small request must not overtake a large one for ever"
        budget.give_back(6)
        await asyncio.gather(large, small)
        assert budget.taken_bytes == 10
        third = asyncio.create_task(budget.take(8))
        await asyncio.sleep(0)
        budget.give_back(8)
        third.cancel()
        with pytest.raises(asyncio.CancelledError):
            await third
        assert budget.taken_bytes == 2

    asyncio.run(main())


def test_every_request_fits_the_budget() -> None:
    assert DATA.frame_bytes <= MAX_BYTES_IN_FLIGHT


@pytest.mark.parametrize(
    "peer",
    [
        Peer(5, "127.0.0.1", 1, "short"),
        Peer(5, "127.0.0.1", 1, "~" * 40),
        Peer(5, "h" * 300 + ".example", 1, "k" * 40),
        Peer(5, "nul\0", 1, "k" * 40),
        Peer(5, "..", 1, "k" * 40),
        Peer(5, "127.0.0.1", -1, "k" * 40),
        Peer(5, "127.0.0.1", 1 << 20, "k" * 40),
    ],
    ids=lambda peer: f"{peer.host[:9]!r}:{peer.port} {peer.key[:5]}",
)
def test_a_holder_whose_address_or_key_makes_no_sense_has_nothing(tmp_path: Path, peer: Peer) -> None:
    async def scenario(w: World) -> None:
        w.fetcher.learn([peer])
        assert await w.fetcher.get(5, 1, [1]) == [None]

    run(scenario, tmp_path)


def test_a_pipe_in_the_place_of_an_object_stops_nobody(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        path = w.put_file(1, LARGE)
        path.unlink()
        os.mkfifo(path)
        w.put(2, b"here")
        assert await w.fetcher.get(1, 1, [1, 2]) == [None, Stored(4, None, b"here")]

    run(scenario, tmp_path)
