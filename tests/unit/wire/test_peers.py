"""The listening side: batches, order, slow readers, and who is gone."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable

import msgspec
import pytest
import zmq

from rain.wire.endpoint import CONTROL, MIB, VIEW_BYTES
from rain.wire.keys import new_keypair
from tests.unit.wire.bench import PATIENCE_S, bench


def test_messages_arrive_in_order_and_in_batches() -> None:
    async def scenario() -> None:
        async with bench() as place:
            far = await place.link()
            for number in range(2500):
                assert far.link.send([b"%d" % number])
            await place.until(lambda: len(place.heard) == 2500, "not all messages came")
            assert [frames for _, _, frames in place.heard] == [[b"%d" % number] for number in range(2500)]
            assert max(place.batches) <= CONTROL.batch_messages
            assert len(place.batches) < 1000

    asyncio.run(scenario())


def test_answers_reach_the_peer_that_asked() -> None:
    async def scenario() -> None:
        async with bench() as place:
            one, other = await place.link(), await place.link()
            first, second = await place.peer(one), await place.peer(other)
            assert place.peers.send(first, [b"to one", b"", b"x" * VIEW_BYTES])
            assert place.peers.send(second, [b"to other"])
            await place.until(lambda: one.heard and other.heard, "an answer is missing")
            assert one.heard == [[b"to one", b"", b"x" * VIEW_BYTES]]
            assert other.heard == [[b"to other"]]
            assert isinstance(one.heard[0][2], memoryview)

    asyncio.run(scenario())


def test_the_last_words_are_heard_before_the_peer_is_gone() -> None:
    async def scenario() -> None:
        async with bench() as place:
            far = await place.link()
            for number in range(3000):
                far.link.send([b"%d" % number])
            assert await far.link.drain(5)
            far.link.close()
            await place.until(lambda: place.gone, "nobody noticed that the peer left")
            assert len(place.heard) == 3000
            assert place.gone == [place.heard[0][0]]
            assert not place.peers.send(place.gone[0], [b"too late"])
            assert far.lost == []

    asyncio.run(scenario())


def test_every_one_of_many_short_visits_is_noticed() -> None:
    async def scenario() -> None:
        async with bench() as place:
            stays = await place.link()
            kept = await place.peer(stays)
            for _ in range(30):
                visitor = await place.link()
                visitor.link.send([b"bye"])
                visitor.link.close()
            await place.until(lambda: len(place.gone) == 30, "a visitor was overlooked")
            assert len(set(place.gone)) == 30
            assert kept not in place.gone
            assert place.peers.send(kept, [b"still there"])

    asyncio.run(scenario())


def test_a_peer_that_never_spoke_is_not_reported() -> None:
    async def scenario() -> None:
        async with bench() as place:
            silent = await place.link()
            silent.link.close()
            speaker = await place.link()
            peer = await place.peer(speaker)
            speaker.link.close()
            await place.until(lambda: place.gone, "nobody noticed that the peer left")
            assert place.gone == [peer]

    asyncio.run(scenario())


def test_a_dropped_peer_is_not_heard_and_not_reported() -> None:
    async def scenario() -> None:
        async with bench() as place:
            bad, good = await place.link(), await place.link()
            dropped = await place.peer(bad)
            place.peers.drop(dropped)
            bad.link.send([b"again"])
            bad.link.close()
            assert not place.peers.send(dropped, [b"x"])
            known = await place.peer(good)
            good.link.close()
            await place.until(lambda: place.gone, "nobody noticed that the other peer left")
            assert place.gone == [known]
            assert [frames for _, _, frames in place.heard] == [[b"who am I"]] * 2

    asyncio.run(scenario())


def test_a_slow_reader_gets_everything_in_order() -> None:
    async def scenario() -> None:
        async with bench(msgspec.structs.replace(CONTROL, queue_messages=5)) as place:
            reader = place.raw(place.client_key)
            reader.rcvhwm = 5
            reader.rcvbuf = 4096
            reader.connect(place.url)
            reader.send(b"hello")
            await place.until(lambda: place.heard, "the greeting did not come")
            peer = place.heard[0][0]
            for number in range(400):
                assert place.peers.send(peer, [b"%d" % number, bytes(50_000)])
            assert place.peers.unsent_bytes(peer) > 0
            got = []
            while len(got) < 400:
                got.append((await asyncio.to_thread(reader.recv_multipart))[0])
            assert got == [b"%d" % number for number in range(400)]
            assert place.peers.unsent_bytes(peer) == 0

    asyncio.run(scenario())


def test_a_peer_that_does_not_read_is_given_up() -> None:
    async def scenario() -> None:
        async with bench(msgspec.structs.replace(CONTROL, queue_messages=2, outbox_bytes=MIB)) as place:
            sleeper = place.raw(place.client_key)
            sleeper.rcvhwm = 1
            sleeper.connect(place.url)
            sleeper.send(b"hello")
            await place.until(lambda: place.heard, "the greeting did not come")
            peer = place.heard[0][0]
            sent = 0
            while place.peers.send(peer, [bytes(200_000)]):
                sent += 1
                assert sent < 1000, "what waits for a peer grows without bound"
            await place.until(lambda: place.gone == [peer], "the peer was not given up")
            await place.peer(await place.link())

    asyncio.run(scenario())


def test_what_is_kept_for_a_peer_is_bounded_in_bytes_and_let_go_when_it_is_cut_off() -> None:
    async def scenario() -> None:
        limits = msgspec.structs.replace(CONTROL, flight_bytes=8 * MIB, outbox_bytes=16 * MIB)
        async with bench(limits) as place:
            sleeper = place.raw(place.client_key)
            sleeper.rcvhwm = 1
            sleeper.rcvbuf = 4096
            sleeper.connect(place.url)
            sleeper.send(b"hello")
            await place.until(lambda: place.heard, "the greeting did not come")
            peer = place.heard[0][0]
            kept = []
            while place.peers.send(peer, [answer := Answer(4 * MIB)]):
                kept.append(weakref.ref(answer))
                assert len(kept) < 20, "a thousand messages would be 4 GiB"
            assert len(kept) >= 6, "both bounds can be used"
            del answer
            await place.until(lambda: place.gone == [peer], "the peer was not given up")
            await soon(lambda: not any(reference() for reference in kept))
            await place.peer(await place.link())

    asyncio.run(scenario())


class Answer(bytearray):
    """Bytes whose end can be seen."""


async def soon(condition: Callable[[], object]) -> None:
    """Waits for what the transport's own threads do, of which nobody hears."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 (nothing to wait for)
            await asyncio.sleep(0.001)


def test_large_messages_that_the_transport_has_taken_count_as_unsent() -> None:
    async def scenario() -> None:
        async with bench(CONTROL) as place:
            far = await place.link()
            peer = await place.peer(far)
            assert place.peers.send(peer, [bytes(4 * MIB)])
            assert place.peers.unsent_bytes(peer) == 4 * MIB
            await place.until(lambda: far.heard, "the message did not come")
            await soon(lambda: not place.peers.unsent_bytes(peer))

    asyncio.run(scenario())


def test_a_peer_that_was_dropped_is_cut_off_after_its_last_message() -> None:
    async def scenario() -> None:
        async with bench(msgspec.structs.replace(CONTROL, linger_s=0.05)) as place:
            bad, good = await place.link(), await place.link()
            peer = await place.peer(bad)
            await place.peer(good)
            place.peers.send(peer, [b"you are dropped"])
            place.peers.drop(peer)
            await place.until(lambda: bad.lost, "the connection goes on")
            assert bad.heard == [[b"you are dropped"]]
            assert not good.lost
            await place.peer(good)
            assert place.gone == []

    asyncio.run(scenario())


def test_too_large_a_frame_ends_its_connection_only() -> None:
    async def scenario() -> None:
        async with bench(msgspec.structs.replace(CONTROL, frame_bytes=MIB)) as place:
            good, bad = await place.link(), await place.link(limits=CONTROL)
            sender = await place.peer(bad)
            bad.link.send([b"large", bytes(2 * MIB)])
            await place.until(lambda: place.gone == [sender] and bad.lost, "the connection goes on")
            await place.peer(good)
            assert all(frames == [b"who am I"] for _, _, frames in place.heard)

    asyncio.run(scenario())


def test_too_many_frames_get_their_sender_dropped() -> None:
    async def scenario() -> None:
        async with bench() as place:
            good, bad = await place.link(), await place.link()
            good.link.send([b"x"] * 32)
            bad.link.send([b"x"] * 33)
            bad.link.send([b"more"])
            await place.until(lambda: place.gone and place.heard, "the sender was not dropped")
            await place.peer(good)
            assert [len(frames) for _, _, frames in place.heard] == [32, 1]

    asyncio.run(scenario())


@pytest.mark.parametrize("chosen", [b"admin", b"\x01abcd", b"a-long-name"])
def test_a_peer_that_chooses_its_own_id_is_ignored(chosen: bytes) -> None:
    async def scenario() -> None:
        async with bench() as place:
            impostor = place.raw(place.client_key)
            impostor.setsockopt(zmq.ROUTING_ID, chosen)
            impostor.connect(place.url)
            impostor.send(b"hello")
            async with asyncio.timeout(PATIENCE_S):
                while chosen not in place.peers._peers:  # noqa: ASYNC110 (an ignored peer causes no news)
                    await asyncio.sleep(0)
            assert place.heard == []
            assert not place.peers.send(chosen, [b"x"])

    asyncio.run(scenario())


def test_a_key_that_was_taken_back_while_it_connected_is_not_heard() -> None:
    async def scenario() -> None:
        async with bench() as place:
            key = new_keypair()
            place.gate.allow(key.public, "client")
            far = await place.link(key)
            place.gate.forget(key.public)
            far.link.send([b"hello"])
            far.link.close()
            await place.peer(await place.link())
            assert [frames for _, _, frames in place.heard] == [[b"who am I"]]

    asyncio.run(scenario())
