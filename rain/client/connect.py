"""Which server a `Client(…)` means, and with which keys. Nothing is connected here."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from rain.core.config import DEFAULT_PORT
from rain.core.errors import RainException
from rain.wire.access import Access, list_access, read_access
from rain.wire.find_access import find_access, is_own_host


class Target(msgspec.Struct, frozen=True):
    """A server and the keys to it."""

    host: str
    port: int
    access: Access
    #: Where the keys came from, for errors.
    source: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_address(address: str, port: int | None) -> tuple[str, int]:
    """Host and port of `"host"`, `"host:port"`, `"::1"` or `"[::1]:port"`. Raises RainException."""
    if not _is_text(address):
        raise RainException(f'expected the address of a server such as "localhost" or "host:7210", found {address!r}')
    host, text = address.strip(), ""
    if host.startswith("["):
        host, _, rest = host[1:].partition("]")
        text = rest.removeprefix(":")
    elif host.count(":") == 1:
        host, _, text = host.partition(":")
    if text and port is not None and text != str(port):
        raise RainException(f"the port is given twice, in {address!r} and as {port}: leave one of them out")
    if port is None:
        if text and not text.isdecimal():
            raise RainException(f"expected a port number after the colon in {address!r}, found {text!r}")
        port = int(text) if text else DEFAULT_PORT
    if not _is_port(port):
        raise RainException(f"a port is a number from 1 to 65535, found {port!r}")
    return host, port


def find_target(
    address: str | None,
    port: int | None,
    access: str | os.PathLike[str] | None,
    environ: Mapping[str, str] = os.environ,
) -> Target | None:
    """The server that is meant; None where nothing was said and no cluster of this user runs here.

    Raises RainException when it cannot be known, or when there are no keys for it.
    """
    explicit = access if access is not None else environ.get("RAIN_ACCESS") or None
    if explicit is not None and not isinstance(explicit, str | os.PathLike):
        raise RainException(f"access: expected the path of an access file, found {explicit!r}")
    path = Path(explicit) if explicit is not None else None
    if address is not None:
        host, number = parse_address(address, port)
        found, source = find_access(host, number, "client", path)
        if path is None and is_own_host(host) and not _is_unspecified(found.host):
            host = found.host
        return Target(host, number, found, str(source))
    if port is not None:
        return find_target("localhost", port, access, environ)
    if path is not None:
        found = read_access(path.expanduser())
        if found.role != "client":
            raise RainException(f"{path} is the access file of a {found.role}: give the file that ends in .client.json")
        return Target(_reachable(found.host), found.port, found, str(path))
    running = [found for found in list_access("client") if found.kind == "run"]
    if len(running) > 1:
        names = "\n".join(f'  Client("{_reachable(found.host)}:{found.port}")' for found in running)
        raise RainException(f"{len(running)} clusters of yours run on this machine; say which one you mean:\n{names}")
    if not running:
        return None
    [found] = running
    return Target(_reachable(found.host), found.port, found, "the runtime directory")


def access_target(path: Path) -> Target:
    """The server that wrote this access file. Raises RainException."""
    access = read_access(path)
    return Target(_reachable(access.host), access.port, access, str(path))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def _reachable(host: str) -> str:
    return "127.0.0.1" if _is_unspecified(host) else host


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
