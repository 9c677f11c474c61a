"""`rain workers`: the workers of a cluster."""

from __future__ import annotations

from typing import Any

import click

from rain.cli.connect import choose, look
from rain.cli.params import SERVER, Address
from rain.cli.table import show_json, show_table


@click.command("workers")
@click.argument("server", type=SERVER, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(server: Address | None, as_json: bool) -> list[dict[str, Any]]:
    """List the workers of a cluster. SERVER may be left out where only one runs."""
    workers: list[dict[str, Any]] = look(choose(server))["workers"]
    if as_json:
        show_json(workers)
    else:
        show_workers(workers)
    return workers


def show_workers(workers: list[dict[str, Any]]) -> None:
    """One row per worker."""
    if not workers:
        click.echo("no workers: `rain worker SERVER:PORT` adds one")
        return
    show_table(
        ("WORKER", "HOST", "PID", "ADDRESS", "CPUS", "TASKS", "OBJECTS"),
        [
            (
                worker["worker_id"] + (" (leaves)" if worker["draining"] else ""),
                worker["host"],
                worker["pid"],
                worker["address"],
                f"{worker['resources']['cpus']:g}",
                worker["n_tasks"],
                worker["n_objects"],
            )
            for worker in workers
        ],
    )
