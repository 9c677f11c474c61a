"""How commands find a running cluster of this user and ask it things."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rain.cli.params import Address
from rain.core.config import DEFAULT_PORT
from rain.core.errors import RainException
from rain.wire.access import Access, list_access, runtime_directory

if TYPE_CHECKING:
    from rain.client import Client


class Caller:
    """Who has commands run inside of a program of their own, such as a notebook; the `obj` of the click context."""

    @property
    def connected(self) -> Client | None:
        """The client that commands use where no other server is named; None: they find one."""
        return None


def caller() -> Caller | None:
    """Who runs the command; None in a shell."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.find_object(Caller)


class Shown(NamedTuple):
    """A cluster to talk to."""

    host: str
    port: int

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


def running_clusters() -> list[Access]:
    """The access of every cluster of this user on this machine, embedded ones too, ordered by port."""
    return sorted(list_access("client", runtime_directory()), key=lambda access: access.port)


def find_running(port: int) -> Shown | None:
    """This user's cluster on that port of this machine, if it runs; port 0 asks for a new one."""
    for access in running_clusters():
        if access.port == port and port != 0:
            return Shown(access.host, access.port)
    return None


def choose(server: Address | None) -> Shown:
    """The cluster that was named, else the only one that runs; an error lists them where several do."""
    if server is not None:
        return Shown(server.host or "127.0.0.1", DEFAULT_PORT if server.port is None else server.port)
    client = _connected()
    if client is not None:
        return _shown(client)
    running = [access for access in running_clusters() if access.kind == "run"]
    if not running:
        how = "`rain run` starts one" if caller() is None else "`%rain start` starts one"
        raise RainException(f"no cluster of yours runs on this machine: {how}, or name SERVER:PORT")
    if len(running) > 1:
        listed = "\n".join(f"  {access.host}:{access.port}" for access in running)
        raise RainException(f"{len(running)} clusters of yours run on this machine, name one of them:\n{listed}")
    return Shown(running[0].host, running[0].port)


@contextlib.contextmanager
def connected(shown: Shown) -> Iterator[Client]:
    """A client of that cluster: the caller's own, else one for the time of the block."""
    own = _connected()
    if own is not None and _shown(own) == shown:
        yield own
        return
    from rain.client import Client

    with Client(shown.host, shown.port) as client:
        yield client


def look(shown: Shown) -> dict[str, Any]:
    """What the server says of itself, see `Client.get_server_info`."""
    with connected(shown) as client:
        return client.get_server_info()


def end(shown: Shown) -> None:
    """Have the server end itself and its workers; returns when it let go of the connection."""
    with connected(shown) as client:
        client.shutdown()


def _connected() -> Client | None:
    inside = caller()
    return None if inside is None else inside.connected


def _shown(client: Client) -> Shown:
    host, _, port = client.address.rpartition(":")
    return Shown(host, int(port))
