"""`rain status`: one cluster at a glance."""

from __future__ import annotations

from typing import Any

import click

from rain.cli.connect import Shown, choose, look
from rain.cli.params import SERVER, Address
from rain.cli.sessions import show_sessions
from rain.cli.table import show_json, show_table
from rain.cli.workers import show_workers


@click.command("status")
@click.argument("server", type=SERVER, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(server: Address | None, as_json: bool) -> dict[str, Any]:
    """Show a cluster: its address, workers, sessions, and tasks that no worker can run.

    SERVER may be left out where only one runs.
    """
    chosen = choose(server)
    info = look(chosen)
    status = {"server": chosen.address, **info}
    if as_json:
        show_json(status)
        return status
    click.echo(f"server {chosen.address}, Rain {info['version']}")
    click.echo()
    show_workers(info["workers"])
    click.echo()
    show_sessions(info["sessions"])
    if info["impossible"]:
        click.echo()
        _show_impossible(info["impossible"], chosen)
    return status


def _show_impossible(impossible: list[dict[str, Any]], shown: Shown) -> None:
    click.echo("These tasks wait for a worker that is not there:")
    show_table(
        ("SESSION", "TASKS", "FIRST", "NEEDED"),
        [
            (
                each["session_id"],
                each["n_tasks"],
                each["first_task"],
                " ".join(f"{name}={amount}" for name, amount in each["needed"].items()),
            )
            for each in impossible
        ],
    )
    click.echo(f"They run when such a worker joins: start one with `rain worker {shown.address}`, or ask for less.")
