"""The worker's first words with its server: a proven connection, hello, and welcome or refusal."""

from __future__ import annotations

import asyncio
import importlib.metadata
import ipaddress
import os
import platform
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from rain.core.config import WorkerConfig
from rain.core.errors import ProtocolViolation, RainException
from rain.core.ids import worker_name
from rain.core.resources import Offer
from rain.core.version import VERSION
from rain.deploy.logs import own_log
from rain.protocol.codec import encode
from rain.protocol.hello import PROTOCOL_VERSION, Refusal, Versions, Welcome, WorkerHello, answer_decoder
from rain.wire.endpoint import Context, Frames
from rain.wire.find_access import find_access
from rain.wire.keys import KeyPair
from rain.wire.link import Link

#: To reach the server and to prove who we are.
CONNECT_LIMIT_S = 10.0
#: Then the server answers a hello at once.
ANSWER_LIMIT_S = 10.0


class DataAddress(msgspec.Struct, frozen=True):
    """Where others fetch from this worker; the key is public, as Z85 text."""

    host: str
    port: int
    key: str


class Joined:
    """A worker's place at its server. What the server says after the welcome waits until `listen`."""

    def __init__(self, keypair: KeyPair, on_batch: Callable[[list[Frames]], None]) -> None:
        #: Of the worker role: by it, others let this worker in.
        self.keypair = keypair
        self.link: Link
        self.welcome: Welcome
        self._on_batch = on_batch
        self._waiting: list[Frames] = []
        self._listens = False
        self._answer: asyncio.Future[Frames] = asyncio.get_running_loop().create_future()

    @property
    def name(self) -> str:
        """The name that the server gave: `w2`."""
        return worker_name(self.welcome.number)

    def listen(self) -> None:
        """Hands over what came meanwhile, and from now on all as it comes."""
        self._listens = True
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._on_batch(waiting)

    def arrived(self, batch: list[Frames]) -> None:
        """Messages of the server; the first of all is its answer."""
        if not self._answer.done():
            self._answer.set_result(batch[0])
            batch = batch[1:]
        if self._listens:
            self._on_batch(batch)
        else:
            self._waiting += batch

    def lost(self, reason: str) -> None:
        """The connection is gone; there will be no answer."""
        if not self._answer.done():
            self._answer.set_exception(RainException(f"the server was lost before it answered: {reason}"))

    async def answer(self) -> Frames:
        """The server's first message. Raises RainException."""
        try:
            return await asyncio.wait_for(self._answer, ANSWER_LIMIT_S)
        except TimeoutError:
            raise RainException(
                f"the server did not answer within {ANSWER_LIMIT_S:g} s; it may be overloaded or stopped"
            ) from None


async def join(
    config: WorkerConfig,
    context: Context,
    offer: Offer,
    data: DataAddress,
    *,
    on_batch: Callable[[list[Frames]], None],
    on_lost: Callable[[str], None],
) -> Joined:
    """Connects to the server and registers. Raises RainException, with the server's own words where it refuses."""
    explicit = Path(config.access) if config.access else None
    access, path = find_access(config.server_host, config.server_port, "worker", explicit)
    joined = Joined(access.keypair, on_batch)

    def lost(reason: str) -> None:
        joined.lost(reason)
        on_lost(reason)

    joined.link = await Link.connect(
        context,
        config.server_host,
        config.server_port,
        keypair=access.keypair,
        server_key=access.server_key.encode(),
        on_batch=joined.arrived,
        on_lost=lost,
        timeout_s=CONNECT_LIMIT_S,
        access=str(path),
    )
    try:
        joined.link.send([encode(_hello(offer, data))])
        joined.welcome = _welcome(await joined.answer(), config)
    except BaseException:
        joined.link.close()
        raise
    return joined


def own_address(server_host: str, server_port: int) -> str:
    """The address of this machine from which the server is reached: loopback for one on loopback.

    Raises RainException.
    """
    try:
        found = socket.getaddrinfo(server_host, server_port, type=socket.SOCK_DGRAM)
        family, kind, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
        # Connecting a datagram socket sends nothing, it only chooses the way.
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            host = str(probe.getsockname()[0])
    except OSError as error:
        raise RainException(
            f"the server {server_host!r} cannot be reached from this machine ({error}): check the name, or give "
            "the address on which to listen: --listen ADDRESS"
        ) from None
    return "127.0.0.1" if ipaddress.ip_address(host.partition("%")[0]).is_loopback else host


def _hello(offer: Offer, data: DataAddress) -> WorkerHello:
    return WorkerHello(
        protocol=PROTOCOL_VERSION,
        versions=Versions(rain=VERSION, python=platform.python_version(), cloudpickle=_installed_cloudpickle()),
        host=socket.gethostname(),
        pid=os.getpid(),
        offer=offer,
        data_host=data.host,
        data_port=data.port,
        data_key=data.key,
        log=own_log(),
    )


def _installed_cloudpickle() -> str:
    """Its version, without importing it: only executors unpickle."""
    try:
        return importlib.metadata.version("cloudpickle")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _welcome(frames: Frames, config: WorkerConfig) -> Welcome:
    where = f"{config.server_host}:{config.server_port}"
    try:
        answer = answer_decoder.decode(frames[0])
    except ProtocolViolation as violation:
        raise RainException(f"the server at {where} speaks another version of Rain's protocol: {violation}") from None
    if isinstance(answer, Refusal):
        raise RainException(f"the server at {where} refused this worker: {answer.reason}")
    return answer
