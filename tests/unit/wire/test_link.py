"""The connecting side: clear errors, and an end that is noticed."""

from __future__ import annotations

import asyncio
import socket as sockets
import threading
import time
from collections.abc import Callable

import msgspec
import pytest

from rain.core.errors import RainException
from rain.wire import reach
from rain.wire.endpoint import CONTROL, MIB, Frames, close_context, new_context
from rain.wire.keys import new_keypair
from rain.wire.link import Link
from tests.unit.wire.bench import bench


async def connect(host: str, port: int, timeout_s: float = 2.0) -> None:
    context = new_context()
    try:
        link = await Link.connect(
            context,
            host,
            port,
            keypair=new_keypair(),
            server_key=new_keypair().public,
            on_batch=list,
            on_lost=str,
            timeout_s=timeout_s,
        )
        link.close()
    finally:
        close_context(context)


def test_a_refused_connection_says_that_nothing_listens() -> None:
    with sockets.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(RainException, match=f"127.0.0.1:{port}: nothing listens there. Start a server"):
        asyncio.run(connect("127.0.0.1", port))


def test_an_unknown_name_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise sockets.gaierror(sockets.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(sockets, "getaddrinfo", unknown)
    with pytest.raises(RainException, match="knows no address of 'nowhere'"):
        asyncio.run(connect("nowhere", 7210))


def test_an_impossible_port_is_an_error() -> None:
    with pytest.raises(RainException, match="1 to 65535"):
        asyncio.run(connect("127.0.0.1", 70000))


def test_a_machine_that_does_not_answer_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(reach, "_try", never)
    with pytest.raises(RainException, match=r"no answer within 0\.05 s"):
        asyncio.run(connect("127.0.0.1", 7210, 0.05))


def test_a_server_that_never_speaks_is_given_up_in_time() -> None:
    with (
        sockets.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(RainException, match=r"did not answer within 0\.1 s"),
    ):
        asyncio.run(connect("127.0.0.1", server.getsockname()[1], 0.1))


@pytest.mark.parametrize("after_a_word", [False, True], ids=["by itself", "when it is asked"])
def test_something_else_on_the_port_is_told_by_what_it_says(after_a_word: bool) -> None:
    def answer(server: sockets.socket) -> None:
        connection, _ = server.accept()
        with connection:
            if after_a_word:
                connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with sockets.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        with pytest.raises(RainException, match=r"is no Rain server, it says 'HTTP/1.1 400 Bad Request'"):
            asyncio.run(connect("127.0.0.1", server.getsockname()[1]))
        thread.join()


def test_a_wrong_server_key_says_that_the_access_file_is_of_another_server() -> None:
    async def scenario() -> None:
        async with bench() as place:
            with pytest.raises(RainException, match=r"/a/7210.client.json does not belong to this server"):
                await place.link(server_key=new_keypair().public, access="/a/7210.client.json")

    asyncio.run(scenario())


def test_an_unlisted_key_says_that_it_was_refused() -> None:
    async def scenario() -> None:
        async with bench() as place:
            with pytest.raises(RainException, match=r"refused the key in /a/7210.client.json"):
                await place.link(new_keypair(), access="/a/7210.client.json")

    asyncio.run(scenario())


def test_a_lost_server_is_reported_once_after_its_last_words() -> None:
    async def scenario() -> None:
        async with bench() as place:
            far = await place.link()
            peer = await place.peer(far)
            for number in range(3000):
                assert place.peers.send(peer, [b"%d" % number])
            assert await place.peers.drain(5)
            place.peers.close()
            await place.until(lambda: far.lost, "the loss was not noticed")
            assert [int(bytes(frames[0])) for frames in far.heard] == list(range(3000))
            assert len(far.lost) == 1
            assert not far.link.send([b"x"])

    asyncio.run(scenario())


def test_a_lost_link_does_not_come_back() -> None:
    async def scenario() -> None:
        async with bench() as place:
            far = await place.link()
            await place.peer(far)
            place.peers.close()
            await place.until(lambda: far.lost, "the loss was not noticed")
            far.link.close()
            assert len(far.lost) == 1

    asyncio.run(scenario())


def test_a_link_that_nobody_reads_is_lost_instead_of_growing() -> None:
    async def scenario() -> None:
        limits = msgspec.structs.replace(CONTROL, queue_messages=1, batch_messages=1, linger_s=0.0)
        async with bench(limits) as place:
            far = await place.link(limits=msgspec.structs.replace(limits, outbox_bytes=MIB))
            sent = 0
            # The loop gets no turn, so nothing is read at the other side.
            while far.link.send([bytes(300_000)]):
                sent += 1
                assert sent < 1000, "the outbox grows without bound"
            await place.until(lambda: far.lost, "the loss was not reported")
            assert "unread" in far.lost[0]

    asyncio.run(scenario())


def test_a_full_queue_keeps_the_order() -> None:
    async def scenario() -> None:
        limits = msgspec.structs.replace(CONTROL, queue_messages=2, batch_messages=3)
        async with bench(limits) as place:
            far = await place.link(limits=limits)
            for number in range(300):
                assert far.link.send([b"%d" % number, bytes(20_000)])
            assert far.link.unsent_bytes > 0
            await place.until(lambda: len(place.heard) == 300, "not all messages came")
            assert [int(bytes(frames[0])) for _, _, frames in place.heard] == list(range(300))

    asyncio.run(scenario())


def test_questions_and_answers_never_stall() -> None:
    """A send may take away the wake-up of a message that arrives at the same moment."""

    async def scenario() -> None:
        async with bench() as place:
            fars = [await place.link() for _ in range(4)]
            answered = [0] * len(fars)

            def answer(batch: list[tuple[bytes, str, Frames]]) -> None:
                for peer, _, frames in batch:
                    assert place.peers.send(peer, frames)

            def ask_again(number: int) -> Callable[[list[Frames]], None]:
                def heard(batch: list[Frames]) -> None:
                    answered[number] += len(batch)
                    place.changed.set()
                    for _ in batch:
                        fars[number].link.send([b"question"])

                return heard

            place.peers._inbox._on_batch = answer
            for number, far in enumerate(fars):
                assert far.link._inbox is not None
                far.link._inbox._on_batch = ask_again(number)
                far.link.send([b"question"])
            await place.until(lambda: min(answered) >= 1000, "the talk stalled")

    asyncio.run(scenario())


def test_a_small_message_costs_little() -> None:
    async def scenario() -> float:
        async with bench(msgspec.structs.replace(CONTROL, queue_messages=30_000)) as place:
            far = await place.link(limits=msgspec.structs.replace(CONTROL, queue_messages=30_000))
            started = time.process_time()
            for _ in range(20_000):
                far.link.send([b"x" * 100])
            await place.until(lambda: len(place.heard) == 20_000, "not all messages came")
            return time.process_time() - started

    # Sending, encryption both ways and receiving; a tenth of this on the slowest machine it was measured on.
    assert asyncio.run(scenario()) < 5.0
