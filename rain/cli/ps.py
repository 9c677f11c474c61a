"""`rain ps`: the processes of clusters, the tasks that workers were given, and the executors on this machine."""

from __future__ import annotations

import socket
from typing import Any

import click

from rain.cli.connect import Shown, caller, choose, look, running_clusters
from rain.cli.executors import executors_of
from rain.cli.params import SERVER, Address
from rain.cli.table import show_json, show_table

#: How many tasks of a worker are shown in a table; JSON has them all.
SHOWN_TASKS = 4
#: A table shows so much of the command of a program.
SHOWN_COMMAND = 40


@click.command("ps")
@click.argument("server", type=SERVER, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(server: Address | None, as_json: bool) -> list[dict[str, Any]]:
    """List processes and what they run: of SERVER, else of every cluster of yours on this machine.

    Of a worker, the tasks that it was given; of its executors, where it is on this machine, the task that each runs and
    the programs that this started.
    """
    if server is not None or caller() is not None:
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
            ("SERVER", "PROCESS", "HOST", "PID", "RUNS"),
            [(row["server"], row["process"], row["host"], row["pid"], _brief(row)) for row in rows],
        )
    return rows


def _processes(shown: Shown) -> list[dict[str, Any]]:
    info = look(shown)
    rows = [_row(shown, "server", info["host"], info["pid"])]
    here = socket.gethostname()
    for worker in info["workers"]:
        name, host = worker["worker_id"], worker["host"]
        rows.append(_row(shown, name, host, worker["pid"], tasks=worker["tasks"], n_tasks=worker["n_tasks"]))
        executors = executors_of(worker["pid"]) if host == here else []
        rows += [
            _row(
                shown,
                f"{name} executor",
                host,
                each.pid,
                tasks=[each.task] if each.task else [],
                programs=each.programs,
            )
            for each in executors
        ]
    return rows


def _row(shown: Shown, process: str, host: str, pid: int, **what: Any) -> dict[str, Any]:
    return {"server": shown.address, "process": process, "host": host, "pid": pid, "tasks": [], **what}


def _brief(row: dict[str, Any]) -> str:
    programs = [command[:SHOWN_COMMAND] for command in row.get("programs", ())]
    shown = row["tasks"][:SHOWN_TASKS] + programs
    more = row.get("n_tasks", 0) - SHOWN_TASKS
    return (" ".join(shown) or "-") + (f" and {more} more" if more > 0 else "")
