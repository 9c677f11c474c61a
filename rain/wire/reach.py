"""A plain TCP connection first, because its errors are clear: an encrypted one would only stay silent.

What takes the connection is heard, too: our servers greet at once, a server of another kind is told by its words.
"""

from __future__ import annotations

import asyncio
import errno
import socket as sockets

from rain.core.errors import RainException

#: With this a server of ours greets everybody at once.
_GREETING = b"\xff"
#: So long, and no longer than this share of the time there is, the other side may take for a word: by itself, and then
#: when it was asked.
_LISTEN_S = 0.4
_LISTEN_SHARE = 0.25
_QUESTION = b"HEAD / HTTP/1.0\r\n\r\n"
_MAX_SHOWN = 80

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
                    words = await _try(family, address, port, min(_LISTEN_S, _LISTEN_SHARE * timeout_s))
                except OSError as failure:
                    error = failure
                    continue
                _check_greeting(words, host, port)
                return address
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


async def _try(family: sockets.AddressFamily, address: str, port: int, patience_s: float) -> bytes:
    """Connects, and returns what the other side says; b"" where it keeps silent. Raises OSError."""
    with sockets.socket(family, sockets.SOCK_STREAM) as probe:
        probe.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(probe, (address, port))
        try:
            words = await _words(probe, patience_s)
            if words is None:
                # Most of what speaks only when it is spoken to is a web server.
                await loop.sock_sendall(probe, _QUESTION)
                words = await _words(probe, patience_s)
        except OSError:
            return b""
        return words or b""


async def _words(probe: sockets.socket, patience_s: float) -> bytes | None:
    """What the other side says; b"" where it hangs up, None where it keeps silent, as an overloaded server does too."""
    try:
        async with asyncio.timeout(patience_s):
            return await asyncio.get_running_loop().sock_recv(probe, _MAX_SHOWN)
    except TimeoutError:
        return None


def _check_greeting(words: bytes, host: str, port: int) -> None:
    if words and not words.startswith(_GREETING):
        shown = words.decode(errors="replace").split("\n")[0].strip()
        raise RainException(
            f"Cannot connect to {host}:{port}: what listens there is no Rain server, it says {shown!r}. "
            "Check the port; the one for status over HTTP is not the one that clients and workers connect to."
        )


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
