"""The first words with a server, and what versions that differ mean."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import socket

from rain.core.errors import ProtocolViolation, RainException
from rain.core.version import VERSION
from rain.protocol.codec import encode
from rain.protocol.hello import PROTOCOL_VERSION, ClientHello, Refusal, Versions, Welcome, answer_decoder
from rain.wire.link import Link


def own_versions() -> Versions:
    """The versions that the handshake compares."""
    return Versions(rain=VERSION, python=platform.python_version(), cloudpickle=_installed_cloudpickle())


async def greet(link: Link, first: asyncio.Future[bytes], server: str, limit_s: float) -> Welcome:
    """Says hello and returns the server's welcome. Raises RainException with the text of a refusal."""
    versions = own_versions()
    link.send([encode(ClientHello(PROTOCOL_VERSION, versions, socket.gethostname(), os.getpid()))])
    try:
        async with asyncio.timeout(limit_s):
            answer = answer_decoder.decode(await first)
    except TimeoutError:
        raise RainException(
            f"the server at {server} let this client in and then said nothing for {limit_s:g} s; look at its log"
        ) from None
    except ProtocolViolation as violation:
        raise RainException(
            f"the server at {server} and this client speak different versions of the protocol (Rain {versions.rain}); "
            f"install the same version on both sides ({violation})"
        ) from None
    if isinstance(answer, Refusal):
        raise RainException(f"the server at {server} refused this client: {answer.reason}")
    return answer


def differences(client: Versions, server: Versions) -> str:
    """A table of the versions by which pickled functions may fail to load; "" where there are none."""
    rows = [
        ("python", _minor(client.python), _minor(server.python)),
        ("cloudpickle", _major(client.cloudpickle), _major(server.cloudpickle)),
    ]
    lines = [f"  {name:<12} client {mine:<8} server {theirs}" for name, mine, theirs in rows if mine != theirs]
    return "\n".join(lines)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _major(version: str) -> str:
    return version.split(".", maxsplit=1)[0]


def _installed_cloudpickle() -> str:
    # Asked of the installation, since importing it is left to those who pickle.
    try:
        return importlib.metadata.version("cloudpickle")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
