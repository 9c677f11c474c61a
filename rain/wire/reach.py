"""A plain TCP connection first, because its errors are clear: an encrypted one would only stay silent."""

from __future__ import annotations

import asyncio
import errno
import socket as sockets

from rain.core.errors import RainException

_Address = tuple[sockets.AddressFamily, str]


async def reach(host: str, port: int, timeout_s: float) -> str:
    """The first numeric address of `host` that takes connections on `port`, IPv4 before IPv6. Raises RainException."""
    if not 0 < port < 65536:
        raise RainException(f"Cannot connect to {host}:{port}: a port is a number from 1 to 65535.")
    error: OSError | None = None
    try:
        async with asyncio.timeout(timeout_s):
            for family, address in await _addresses(host, port):
                try:
                    await _try(family, address, port)
                    return address
                except OSError as failure:
                    error = failure
    except TimeoutError:
        pass
    raise RainException(_reason(host, port, error, timeout_s))


async def _addresses(host: str, port: int) -> list[_Address]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=sockets.SOCK_STREAM)
    # ValueError: text that is no name at all, such as an empty label.
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RainException(
            f"Cannot connect to {host}:{port}: this machine knows no address of {host!r} ({reason}). "
            "Check the spelling, or give the numeric address that the server printed when it started."
        ) from None
    addresses = [(info[0], str(info[4][0])) for info in found]
    return sorted(addresses, key=lambda each: each[0] != sockets.AF_INET)


async def _try(family: sockets.AddressFamily, address: str, port: int) -> None:
    with sockets.socket(family, sockets.SOCK_STREAM) as probe:
        probe.setblocking(False)
        await asyncio.get_running_loop().sock_connect(probe, (address, port))


def _reason(host: str, port: int, error: OSError | None, timeout_s: float) -> str:
    where = f"Cannot connect to {host}:{port}"
    if error is None:
        return (
            f"{where}: no answer within {timeout_s:g} s. Is the machine on, and is the port open in its firewall? "
            "If it is behind another machine, forward the port (ssh -L)."
        )
    if error.errno == errno.ECONNREFUSED:
        return (
            f"{where}: nothing listens there. Start a server (rain server, or rain run --simple), or check the port; "
            "a server listens on 127.0.0.1 only, unless --listen says otherwise."
        )
    return f"{where}: {error.strerror or error}. Check the address and the network, or forward the port (ssh -L)."
