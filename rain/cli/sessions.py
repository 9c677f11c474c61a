"""`rain sessions`: the sessions of a cluster."""

from __future__ import annotations

from typing import Any

import click

from rain.cli.connect import choose, look
from rain.cli.params import SERVER, Address
from rain.cli.table import show_json, show_table


@click.command("sessions")
@click.argument("server", type=SERVER, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(server: Address | None, as_json: bool) -> list[dict[str, Any]]:
    """List the sessions of a cluster. SERVER may be left out where only one runs."""
    sessions: list[dict[str, Any]] = look(choose(server))["sessions"]
    if as_json:
        show_json(sessions)
    else:
        show_sessions(sessions)
        for session in sessions:
            if session["impossible"]:
                click.echo(f"{session['session_id']}: {session['impossible']}")
    return sessions


def show_sessions(sessions: list[dict[str, Any]]) -> None:
    """One row per session, with its tasks by state."""
    if not sessions:
        click.echo("no sessions")
        return
    states = ("waiting", "running", "finished", "failed", "cancelled")
    show_table(
        ("SESSION", "NAME", "STATE", *(state.upper() for state in states), "OBJECTS", "TTL"),
        [
            (
                session["session_id"],
                session["name"] or "-",
                session["state"],
                *(session["tasks"].get(state, 0) for state in states),
                session["n_objects"],
                "-" if session["ttl"] is None else shown_time(session["ttl"]),
            )
            for session in sessions
        ],
    )


def shown_time(seconds: float) -> str:
    """A length of time as people say it: "90 s", "5 min", "1 h"."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and not seconds % size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
