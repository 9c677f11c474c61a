"""How commands find a running cluster of this user and ask it things."""

from __future__ import annotations

from typing import Any, NamedTuple

from rain.cli.params import Address
from rain.core.config import DEFAULT_PORT
from rain.core.errors import RainException
from rain.wire.access import Access, list_access, runtime_directory


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
    running = [access for access in running_clusters() if access.kind == "run"]
    if not running:
        raise RainException("no cluster of yours runs on this machine: `rain run` starts one, or name SERVER:PORT")
    if len(running) > 1:
        listed = "\n".join(f"  {access.host}:{access.port}" for access in running)
        raise RainException(f"{len(running)} clusters of yours run on this machine, name one of them:\n{listed}")
    return Shown(running[0].host, running[0].port)


def look(shown: Shown) -> dict[str, Any]:
    """What the server says of itself, see `Client.get_server_info`."""
    from rain.client import Client

    with Client(shown.host, shown.port) as client:
        info: dict[str, Any] = client.get_server_info()
    return info


def end(shown: Shown) -> None:
    """Have the server end itself and its workers; returns when it let go of the connection."""
    from rain.client import Client

    with Client(shown.host, shown.port) as client:
        client.shutdown()
