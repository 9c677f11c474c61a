"""Who gets in, and who does not."""

from __future__ import annotations

import asyncio
import socket as sockets

import msgspec
import pytest
import zmq

from rain.core.errors import RainException
from rain.wire import self_check
from rain.wire.dial import Dial, Outcome
from rain.wire.endpoint import CONTROL, close_context, new_context
from rain.wire.gate import Gate
from rain.wire.keys import KeyPair, new_keypair
from rain.wire.peers import Peers
from tests.unit.wire.bench import DOMAIN, Bench, bench


async def knock(place: Bench, keypair: KeyPair, server_key: bytes | None = None) -> Outcome:
    dial = Dial(place.outside, keypair, server_key or place.key.public, CONTROL)
    try:
        return await dial.open("127.0.0.1", place.port, 5.0)
    finally:
        dial.close()


async def disconnected(socket: zmq.Socket[bytes], url: str, message: bytes) -> None:
    """Connects, sends, and waits until the endpoint has closed the connection."""
    monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
    socket.reconnect_ivl = -1
    socket.connect(url)
    socket.send(message)
    news = await asyncio.to_thread(monitor.recv_multipart)
    socket.disable_monitor()
    monitor.close()
    assert int.from_bytes(news[0][:2], "little") == zmq.EVENT_DISCONNECTED


def test_a_listed_key_is_heard_with_its_role() -> None:
    async def scenario() -> None:
        async with bench() as place:
            worker_key = new_keypair()
            place.gate.allow(worker_key.public, "worker")
            first, second = await place.link(), await place.link(worker_key)
            first.link.send([b"header", b"payload"])
            second.link.send([b"other"])
            await place.until(lambda: len(place.heard) == 2, "the messages did not arrive")
            told = {role: frames for _, role, frames in place.heard}
            assert told == {"client": [b"header", b"payload"], "worker": [b"other"]}

    asyncio.run(scenario())


def test_an_unlisted_key_is_refused() -> None:
    async def scenario() -> None:
        async with bench() as place:
            assert await knock(place, new_keypair()) is Outcome.REFUSED
            assert await knock(place, place.client_key) is Outcome.ACCEPTED

    asyncio.run(scenario())


def test_a_forgotten_key_is_refused() -> None:
    async def scenario() -> None:
        async with bench() as place:
            place.gate.forget(place.client_key.public)
            assert await knock(place, place.client_key) is Outcome.REFUSED

    asyncio.run(scenario())


def test_a_role_that_the_domain_does_not_take_is_refused() -> None:
    async def scenario() -> None:
        async with bench(roles=("worker",)) as place:
            assert await knock(place, place.client_key) is Outcome.REFUSED

    asyncio.run(scenario())


def test_a_wrong_server_key_ends_the_handshake() -> None:
    async def scenario() -> None:
        async with bench() as place:
            assert await knock(place, place.client_key, new_keypair().public) is Outcome.CLOSED

    asyncio.run(scenario())


def test_without_a_gate_nobody_gets_in() -> None:
    async def scenario() -> None:
        async with bench() as place:
            place.gate.close()
            assert await knock(place, place.client_key) is not Outcome.ACCEPTED

    asyncio.run(scenario())


@pytest.mark.parametrize("stranger", ["without keys", "unlisted", "wrong server key"])
def test_a_stranger_is_not_delivered(stranger: str) -> None:
    async def scenario() -> None:
        async with bench() as place:
            sockets_of = {
                "without keys": place.raw,
                "unlisted": lambda: place.raw(new_keypair()),
                "wrong server key": lambda: place.raw(place.client_key, new_keypair().public),
            }
            await disconnected(sockets_of[stranger](), place.url, b"let me in")
            await place.peer(await place.link())
            assert [frames for _, _, frames in place.heard] == [[b"who am I"]]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "rubbish",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 8, b"\x16\x03\x01\x02\x00\x01\x00" + bytes(500), b"\xff" * 1000],
    ids=["http", "tls", "noise"],
)
def test_rubbish_on_the_port_hurts_nobody_else(rubbish: bytes) -> None:
    async def scenario() -> None:
        async with bench() as place:
            far = await place.link()
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(rubbish)
            try:
                while await reader.read(1000):
                    pass
            except ConnectionResetError:
                pass
            writer.close()
            await place.peer(far)
            await place.peer(await place.link())
            assert place.gone == []

    asyncio.run(scenario())


def test_an_idle_connection_is_closed_and_many_of_them_hurt_nobody() -> None:
    async def scenario() -> None:
        limits = msgspec.structs.replace(CONTROL, handshake_s=0.1)
        async with bench(limits) as place:
            idle = [await asyncio.open_connection("127.0.0.1", place.port) for _ in range(50)]
            await place.peer(await place.link())
            for reader, writer in idle:
                while await reader.read(1000):
                    pass
                writer.close()

    asyncio.run(scenario())


def test_the_self_check_passes_and_leaves_no_key_behind() -> None:
    async def scenario() -> None:
        async with bench() as place:
            before = dict(place.gate._roles)
            await place.peers.self_check()
            assert place.gate._roles == before

    asyncio.run(scenario())


def test_the_self_check_finds_an_open_door(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with bench() as place:
            monkeypatch.setattr(Gate, "_admitted", lambda gate, request: b"anyone")
            with pytest.raises(RainException, match="let a key in that is not on its list"):
                await place.peers.self_check()

    asyncio.run(scenario())


def test_the_self_check_does_not_trust_a_door_that_is_always_shut(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with bench() as place:
            monkeypatch.setattr(Gate, "_admitted", lambda gate, request: None)
            with pytest.raises(RainException, match="could not be completed"):
                await self_check.check_gate(
                    place.context,
                    place.gate,
                    domain=DOMAIN,
                    address="127.0.0.1",
                    port=place.port,
                    server_key=place.key.public,
                )

    asyncio.run(scenario())


def test_a_port_in_use_is_named() -> None:
    async def scenario() -> None:
        with sockets.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            context = new_context()
            gate = Gate(context)
            peers = Peers(
                context, gate, new_keypair(), domain="x", limits=CONTROL, on_batch=list, on_gone=bytes, roles=["client"]
            )
            try:
                with pytest.raises(RainException, match=f"127.0.0.1:{port}: the port is in use"):
                    peers.bind("127.0.0.1", port)
                with pytest.raises(RainException, match="no such address"):
                    peers.bind("192.0.2.1", 0)
                assert peers.bind("localhost", 0) > 0
            finally:
                peers.close()
                gate.close()
                close_context(context)

    asyncio.run(scenario())
