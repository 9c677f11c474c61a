"""`rain drain`: a worker leaves, and nothing is lost."""

from __future__ import annotations

import socket
from typing import Any

import click

from rain.cli.connect import choose, connected, look
from rain.cli.params import SERVER, Address
from rain.core.errors import RainException
from rain.deploy.ended import wait_ended

#: How long the process of a worker may take to end after it left its server.
END_LIMIT_S = 10.0


def _worker_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The workers that a shell completes: those of the cluster that is meant where none is named."""
    try:
        with ctx.scope(cleanup=False):
            workers = look(choose(None))["workers"]
    except (RainException, TimeoutError):
        return []
    return [each["worker_id"] for each in workers if each["worker_id"].startswith(incomplete)]


@click.command("drain")
@click.argument("worker", shell_complete=_worker_names)
@click.argument("server", type=SERVER, required=False)
@click.option("--no-wait", is_flag=True, help="Return at once; the worker leaves when it can.")
def command(worker: str, server: Address | None, no_wait: bool) -> None:
    """Have WORKER (such as w2) leave without loss; returns when it has left.

    It gets no new tasks, finishes what it was given, and ends when what only it holds has been copied to others. Ctrl-C
    ends the waiting only. SERVER may be left out where only one runs.
    """
    chosen = choose(server)
    with connected(chosen) as client:
        here = socket.gethostname()
        workers = client.get_server_info()["workers"]
        pids = [each["pid"] for each in workers if each["worker_id"] == worker and each["host"] == here]
        client.drain(worker, wait=not no_wait)
        lacking = [] if no_wait else _what_is_lacking(client.get_server_info())
    if no_wait:
        click.echo(f"{worker} leaves when it can; `rain workers {chosen.address}` shows whether it has left")
        return
    wait_ended(pids, END_LIMIT_S)
    click.echo(f"{worker} has left")
    for line in lacking:
        click.echo(f"warning: {line}", err=True)


def _what_is_lacking(info: dict[str, Any]) -> list[str]:
    """What waits for a worker that is not there any more."""
    sessions = info["sessions"]
    if not info["workers"] and sessions:
        ids = ", ".join(each["session_id"] for each in sessions)
        return [f"no worker is left, and sessions are open ({ids}): what they submit waits until one joins"]
    return [f"{each['session_id']}: {each['impossible']}" for each in sessions if each["impossible"]]
