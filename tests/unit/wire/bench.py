"""An endpoint with its gate and links to it, on free ports of this machine, inside one loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import zmq

from rain.wire.endpoint import CONTROL, Frames, Limits, close_context, new_context
from rain.wire.gate import Gate
from rain.wire.keys import KeyPair, new_keypair
from rain.wire.link import Link
from rain.wire.peers import Peers

DOMAIN = "control"
PATIENCE_S = 10.0


class Far:
    """The far end of a link: what it heard and why it was lost."""

    def __init__(self, changed: asyncio.Event) -> None:
        self.heard: list[Frames] = []
        self.lost: list[str] = []
        self._changed = changed
        self.link: Link

    def on_batch(self, batch: list[Frames]) -> None:
        self.heard += batch
        self._changed.set()

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)
        self._changed.set()


class Bench:
    """A server's endpoint: what it heard, who is gone."""

    def __init__(self, limits: Limits, roles: tuple[str, ...]) -> None:
        self.changed = asyncio.Event()
        self.context = new_context()
        self.outside = new_context()
        self.gate = Gate(self.context)
        self.key = new_keypair()
        self.client_key = new_keypair()
        self.gate.allow(self.client_key.public, "client")
        self.heard: list[tuple[bytes, str, Frames]] = []
        self.batches: list[int] = []
        self.gone: list[bytes] = []
        self.peers = Peers(
            self.context,
            self.gate,
            self.key,
            domain=DOMAIN,
            limits=limits,
            on_batch=self._on_batch,
            on_gone=self._on_gone,
            roles=roles,
        )
        self.port = self.peers.bind("127.0.0.1", 0)
        self._links: list[Link] = []
        self._sockets: list[zmq.Socket[bytes]] = []

    def _on_batch(self, batch: list[tuple[bytes, str, Frames]]) -> None:
        self.heard += batch
        self.batches.append(len(batch))
        self.changed.set()

    def _on_gone(self, peer: bytes) -> None:
        self.gone.append(peer)
        self.changed.set()

    async def until(self, condition: Callable[[], object], sentence: str) -> None:
        """Waits for news until the condition holds; fails with the sentence."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    await self.changed.wait()
                    self.changed.clear()
        except TimeoutError:
            raise AssertionError(f"{sentence}: heard {len(self.heard)}, gone {self.gone}") from None

    async def link(self, keypair: KeyPair | None = None, **options: Any) -> Far:
        far = Far(self.changed)
        far.link = await Link.connect(
            self.outside,
            "127.0.0.1",
            self.port,
            keypair=keypair or self.client_key,
            server_key=options.pop("server_key", self.key.public),
            on_batch=far.on_batch,
            on_lost=far.on_lost,
            **options,
        )
        self._links.append(far.link)
        return far

    async def peer(self, far: Far) -> bytes:
        """The id under which the far end is known here."""
        count = len(self.heard)
        assert far.link.send([b"who am I"])
        await self.until(lambda: len(self.heard) > count, "the greeting never came")
        return self.heard[-1][0]

    def raw(self, keypair: KeyPair | None = None, server_key: bytes | None = None) -> zmq.Socket[bytes]:
        """A plain DEALER with or without keys, as somebody who does not use Rain would make it."""
        socket: zmq.Socket[bytes] = self.outside.socket(zmq.DEALER)
        socket.linger = 0
        if keypair is not None:
            socket.curve_publickey, socket.curve_secretkey = keypair.public, keypair.secret
            socket.curve_serverkey = server_key or self.key.public
        self._sockets.append(socket)
        return socket

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def close(self) -> None:
        for link in self._links:
            link.close()
        for socket in self._sockets:
            socket.close(linger=0)
        self.peers.close()
        self.gate.close()
        close_context(self.outside)
        close_context(self.context)


@asynccontextmanager
async def bench(
    limits: Limits = CONTROL, roles: tuple[str, ...] = ("client", "worker", "monitor")
) -> AsyncIterator[Bench]:
    made = Bench(limits, roles)
    try:
        yield made
    finally:
        made.close()
