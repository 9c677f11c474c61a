"""`rain status`: one cluster at a glance."""

from __future__ import annotations

import click

from rain.cli.connect import choose, look
from rain.cli.params import SERVER, Address
from rain.cli.sessions import show_sessions
from rain.cli.table import show_json
from rain.cli.workers import show_workers


@click.command("status")
@click.argument("server", type=SERVER, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(server: Address | None, as_json: bool) -> None:
    """Show a cluster: its address, workers and sessions. SERVER may be left out where only one runs."""
    chosen = choose(server)
    info = look(chosen)
    if as_json:
        show_json({"server": chosen.address, **info})
        return
    click.echo(f"server {chosen.address}, Rain {info['version']}")
    click.echo()
    show_workers(info["workers"])
    click.echo()
    show_sessions(info["sessions"])
