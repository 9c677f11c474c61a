"""`%rain start`: the cluster of this user on this machine, started where none runs, and connected."""

from __future__ import annotations

from typing import Any

import click

from rain.cli.run import command as run
from rain.client.client import Client
from rain.kernel_ext.notebook import Notebook
from rain.kernel_ext.opening import IDLE_END_S, start_or_find
from rain.kernel_ext.values import pass_notebook


@pass_notebook
def _start(notebook: Notebook, /, **options: Any) -> Client:
    notebook.forget_lost()
    found = start_or_find(options)
    client = notebook.connected
    if client is None or client.address != found.shown.address:
        client = Client(found.shown.host, found.shown.port)
        notebook.use(client)
    click.echo(found.text("is ready"))
    return client


def _params() -> list[click.Parameter]:
    """Those of `rain run`; but a cluster of a notebook ends when nobody is left."""
    return [_ending(each) if each.name == "end_when_idle" else each for each in run.params]


def _ending(option: click.Parameter) -> click.Option:
    return click.Option(
        ["--end-when-idle"],
        type=option.type,
        default=IDLE_END_S,
        show_default=True,
        help="End the cluster after so many seconds without a client and without a session; `inf`: never.",
    )


#: Named as the command whose options it has, so that the user's file of options holds for it, too.
command = click.Command(
    "run",
    params=_params(),
    callback=_start,
    help="Start a cluster on this machine, or find the running one again, and connect.\n\n"
    "Where one runs, it is used. The cluster ends when neither a client nor a session is left.",
)
