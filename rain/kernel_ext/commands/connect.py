"""`%rain connect`: a connection to a cluster that runs."""

from __future__ import annotations

import click

from rain.client.client import Client
from rain.kernel_ext.notebook import Notebook
from rain.kernel_ext.opening import connect
from rain.kernel_ext.values import pass_notebook


@click.command("connect")
@click.argument("address", metavar="[HOST[:PORT]]", required=False)
@pass_notebook
def command(notebook: Notebook, address: str | None) -> Client:
    """Connect to the cluster at HOST (port 7210 if none is said), else to the only one of yours on this machine."""
    notebook.forget_lost()
    client = connect(address)
    notebook.use(client)
    return client
