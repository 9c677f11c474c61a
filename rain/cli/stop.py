"""`rain stop`: end clusters, with all their processes and files."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import Any

import click

from rain.cli.connect import Shown, choose, end, look, running_clusters
from rain.cli.params import SERVER, Address
from rain.core.errors import RainException
from rain.deploy.ended import wait_ended
from rain.wire.access import Access, runtime_directory, sweep_stale

#: How long a server may take to end after it said that it will.
END_LIMIT_S = 10.0


@click.command("stop")
@click.argument("server", type=SERVER, required=False)
@click.option("--all", "all_clusters", is_flag=True, help="Every cluster of yours on this machine, embedded ones too.")
def command(server: Address | None, all_clusters: bool) -> None:
    """End a cluster: server, workers wherever they are, executors and programs.

    SERVER may be left out where only one runs.
    """
    if all_clusters and server is not None:
        raise click.UsageError("name a server, or say --all, not both")
    known = running_clusters()
    chosen = [Shown(access.host, access.port) for access in known] if all_clusters else [choose(server)]
    if not chosen:
        click.echo("no cluster of yours runs on this machine")
    problems = [problem for shown in chosen if (problem := _stop(shown, known))]
    sweep_stale(runtime_directory())
    if problems:
        raise RainException("\n".join(problems))


def _stop(shown: Shown, known: list[Access]) -> str | None:
    """Ends one cluster and waits until its processes here are gone; what went wrong, if anything."""
    server = [access.pid for access in known if (access.host, access.port) == (shown.host, shown.port)]
    workers: list[int] = []
    try:
        workers = _workers_here(look(shown))
        end(shown)
    except RainException as error:
        if not server:
            return str(error)
        # It does not answer: its workers notice that it is gone and end themselves.
        _kill(server)
    _kill(wait_ended(server + workers, END_LIMIT_S))
    click.echo(f"stopped {shown.address}")
    return None


def _workers_here(info: dict[str, Any]) -> list[int]:
    """Process ids of the workers that run on this machine."""
    here = socket.gethostname()
    return [worker["pid"] for worker in info["workers"] if worker["host"] == here]


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
