"""`rain ps`: the processes of the user's clusters on this machine, and the tasks that workers were given."""

from __future__ import annotations

from typing import Any

import click

from rain.cli.connect import Shown, choose, look, running_clusters
from rain.cli.params import SERVER, Address
from rain.cli.table import show_json, show_table

#: How many tasks of a worker are shown in a table; JSON has them all.
SHOWN_TASKS = 4


@click.command("ps")
@click.argument("server", type=SERVER, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(server: Address | None, as_json: bool) -> None:
    """List processes and the tasks they were given: of SERVER, else of every cluster of yours on this machine."""
    if server is not None:
        chosen = [choose(server)]
    else:
        chosen = [Shown(access.host, access.port) for access in running_clusters()]
    rows = [row for shown in chosen for row in _processes(shown)]
    if as_json:
        show_json(rows)
    elif not rows:
        click.echo("no cluster of yours runs on this machine")
    else:
        show_table(
            ("SERVER", "PROCESS", "HOST", "PID", "TASKS"),
            [(row["server"], row["process"], row["host"], row["pid"], _brief(row["tasks"])) for row in rows],
        )


def _processes(shown: Shown) -> list[dict[str, Any]]:
    info = look(shown)
    here: list[tuple[str, str, int, list[str]]] = [("server", info["host"], info["pid"], [])]
    here += [(worker["worker_id"], worker["host"], worker["pid"], worker["tasks"]) for worker in info["workers"]]
    return [
        {"server": shown.address, "process": process, "host": host, "pid": pid, "tasks": tasks}
        for process, host, pid, tasks in here
    ]


def _brief(tasks: list[str]) -> str:
    if not tasks:
        return "-"
    more = f" and {len(tasks) - SHOWN_TASKS} more" if len(tasks) > SHOWN_TASKS else ""
    return " ".join(str(task) for task in tasks[:SHOWN_TASKS]) + more
