"""The plain Python of `%rain start`, `connect` and `session`: clusters that are found again, and sessions."""

from __future__ import annotations

from typing import Any

from rain.cli.connect import Shown, find_running, running_clusters
from rain.cli.run import ClusterHere, Wanted, cluster_here
from rain.cli.run import start as start_wanted
from rain.client.client import Client
from rain.client.connect import parse_address
from rain.client.session import Session
from rain.core.errors import RainException

#: A cluster that a notebook started ends when it was without clients and sessions for so long.
IDLE_END_S = 10.0
#: A session that a notebook opens outlives it for an hour.
SESSION_TTL_S = 3600.0


def start_or_find(options: dict[str, Any]) -> ClusterHere:
    """The cluster of this user on this machine that `rain run` would report, else a new one; the options are its own.

    Raises RainException where one runs and has less than is asked for.
    """
    wanted = Wanted.of(options)
    running = _running(wanted, anywhere=options["listen"] is None)
    if running is None:
        started = start_wanted(wanted, options).started
        return cluster_here(Shown(wanted.server.host, started.port))
    found = cluster_here(running)
    if options["simple"] or any(options[name] is not None for name in ("local_workers", "cpus", "worker_host_file")):
        wanted.check(found)
    return found


def connect(address: str | None = None, port: int | None = None) -> Client:
    """A client of that server, else of the only cluster of this user that runs here; starts nothing.

    Raises RainException.
    """
    if address is not None:
        return Client(*parse_address(address, port))
    running = [access for access in running_clusters() if access.kind == "run"]
    if not running:
        raise RainException("no cluster of yours runs on this machine: `%rain start` starts one")
    if len(running) > 1:
        listed = "\n".join(f"  %rain connect {access.host}:{access.port}" for access in running)
        raise RainException(f"{len(running)} clusters of yours run on this machine, say which one:\n{listed}")
    return Client(running[0].host, running[0].port)


def open_session(
    client: Client, name: str, *, ttl: float | None = SESSION_TTL_S, fail_fast: bool = False
) -> tuple[Session, bool]:
    """The session of that name at the server, attached, else a new one; and whether it was there.

    It is the default session then, and what is in hand of it stays. `ttl` and `fail_fast` are for a new one. Raises
    RainException where another client uses it.
    """
    is_there = any(name in (each["name"], each["session_id"]) for each in client.sessions())
    session = client.attach(name) if is_there else client.new_session(name, fail_fast=fail_fast, ttl=ttl)
    session._hold_what_is_in_hand()
    session.set_as_default()
    return session, is_there


def _running(wanted: Wanted, *, anywhere: bool) -> Shown | None:
    """One at the port that is asked for; where none was, the only one that runs."""
    running = find_running(wanted.server.port)
    if running is not None or not anywhere:
        return running
    others = [access for access in running_clusters() if access.kind == "run"]
    return Shown(others[0].host, others[0].port) if len(others) == 1 else None
