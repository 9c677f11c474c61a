"""A server that says to workers what a test tells it to say, on a free port of this machine, in the test's loop."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from rain.protocol.codec import encode
from rain.protocol.hello import PROTOCOL_VERSION, Versions, Welcome, WorkerHello, hello_decoder
from rain.protocol.worker import FromWorker, from_worker_decoder
from rain.wire.access import Access, write_access
from rain.wire.endpoint import CONTROL, Frames, close_context, new_context
from rain.wire.fetcher import Fetcher
from rain.wire.gate import Gate
from rain.wire.holder import Holder, Stored
from rain.wire.keys import new_keypair
from rain.wire.peers import Peers
from rain.wire.process_time import process_start_time

PATIENCE_S = 20.0


class StandInServer:
    """Welcomes one worker and records what it says."""

    def __init__(self, folder: Path) -> None:
        self.context = new_context()
        self.gate = Gate(self.context)
        self.keypair = new_keypair()
        self.worker_keys = new_keypair()
        self.client_keys = new_keypair()
        self.gate.allow(self.worker_keys.public, "worker")
        self.stored: dict[tuple[int, int], Stored] = {}
        self.hello: WorkerHello | None = None
        self.heard: list[FromWorker] = []
        self.is_gone = False
        #: No answer to hello.
        self.is_mute = False
        #: Sent instead of a welcome.
        self.answer: msgspec.Struct | None = None
        self._changed = asyncio.Event()
        self._peer = b""
        self._control = Peers(
            self.context,
            self.gate,
            self.keypair,
            domain="control",
            limits=CONTROL,
            on_batch=self._said,
            on_gone=self._gone,
            roles=("worker",),
        )
        self.port = self._control.bind("127.0.0.1", 0)
        self._holder = Holder(
            self.context, self.gate, self.keypair, lambda *key: self.stored.get(key), roles=("worker",)
        )
        self._data_port = self._holder.bind("127.0.0.1", 0)
        inbox = folder / "fetched"
        inbox.mkdir()
        self.fetcher = Fetcher(self.context, self.client_keys, inbox)
        self.access = write_access(
            Access(
                protocol=PROTOCOL_VERSION,
                cluster=uuid.uuid4().hex,
                role="worker",
                host="127.0.0.1",
                port=self.port,
                server_key=self.keypair.public.decode(),
                public_key=self.worker_keys.public.decode(),
                secret_key=self.worker_keys.secret.decode(),
                pid=os.getpid(),
                start_time=process_start_time(os.getpid()) or 0.0,
            ),
            folder / "access",
        )

    def say(self, message: msgspec.Struct) -> None:
        """Sends a message to the worker."""
        assert self._control.send(self._peer, [encode(message)]), "the worker is gone"

    async def until(self, condition: Callable[[], object], sentence: str) -> None:
        """Waits until the condition holds; fails with the sentence."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{sentence}; heard {self.heard}") from None

    def close_control(self) -> None:
        """Ends the connection without a word, as if the server had died."""
        self._control.close()

    def close(self) -> None:
        """Ends everything."""
        self.fetcher.close()
        self._control.close()
        self._holder.close()
        self.gate.close()
        close_context(self.context)

    def _said(self, batch: list[tuple[bytes, str, Frames]]) -> None:
        for peer, _, frames in batch:
            if self.hello is None:
                self._greet(peer, frames)
            else:
                self.heard.append(from_worker_decoder.decode(frames[0]))
        self._changed.set()

    def _greet(self, peer: bytes, frames: Frames) -> None:
        hello = hello_decoder.decode(frames[0])
        assert isinstance(hello, WorkerHello)
        self._peer, self.hello = peer, hello
        welcome = Welcome(
            number=1,
            cluster="test",
            versions=Versions("", "", ""),
            data_readers=tuple(keys.public.decode() for keys in (self.client_keys, self.worker_keys)),
            data_port=self._data_port,
            data_key=self.keypair.public.decode(),
        )
        if not self.is_mute:
            self.say(self.answer or welcome)

    def _gone(self, peer: bytes) -> None:
        self.is_gone = True
        self._changed.set()


@asynccontextmanager
async def stand_in_server(folder: Path) -> AsyncIterator[StandInServer]:
    """A server for the time of a `with` block."""
    server = StandInServer(folder)
    try:
        yield server
    finally:
        server.close()
