"""`%rain session`: the session in which the notebook works."""

from __future__ import annotations

import math

import click

from rain.client.session import Session
from rain.kernel_ext.notebook import ON_INTERRUPT, Notebook
from rain.kernel_ext.opening import SESSION_TTL_S, connect, open_session
from rain.kernel_ext.values import SESSION, pass_notebook, sessions_of


@click.command("session")
@click.argument("name", type=SESSION)
@click.option(
    "--ttl",
    type=click.FloatRange(min=0),
    default=SESSION_TTL_S,
    show_default=True,
    help="Seconds that a new one outlives this notebook; 0: it ends with it.",
)
@click.option("--fail-fast", is_flag=True, help="Of a new one: the first failed task ends all others.")
@click.option(
    "--on-interrupt",
    type=click.Choice(ON_INTERRUPT),
    help="What becomes of tasks when the cell that submitted them is interrupted (cancel).",
)
@pass_notebook
def command(notebook: Notebook, name: str, ttl: float, fail_fast: bool, on_interrupt: str | None) -> Session:
    """Make a session, or go on with the one of that NAME; it becomes the default.

    Objects of it stay while the notebook has a variable for them, without `keep()`.
    """
    client = notebook.connected
    if client is None:
        client = connect()
        notebook.use(client)
    if not math.isfinite(ttl):
        raise click.BadParameter("expected seconds", param_hint="--ttl")
    session, is_there = open_session(client, name, ttl=ttl or None, fail_fast=fail_fast)
    if on_interrupt is not None:
        notebook.set_on_interrupt(session, on_interrupt)
    if is_there:
        [counts] = [each["tasks"] for each in sessions_of(notebook) if each["session_id"] == f"s{session.session_id}"]
        states = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        click.echo(f"going on with '{name}': {states or 'no'} tasks")
        if states:
            notebook.views.show(session)
    return session
