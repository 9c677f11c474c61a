"""`rain why`: what a task waits for, or how it ended."""

from __future__ import annotations

import click

from rain.cli.connect import choose, connected
from rain.cli.params import SERVER, Address
from rain.cli.table import show_json


@click.command("why")
@click.argument("task")
@click.argument("server", type=SERVER, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(task: str, server: Address | None, as_json: bool) -> list[str]:
    """Explain why TASK (such as s1.t3) is not done, or how it ended. SERVER may be left out where only one runs."""
    with connected(choose(server)) as client:
        lines = client.why(task)
    if as_json:
        show_json({"task": task, "why": lines})
    else:
        click.echo("\n  ".join(lines))
    return lines
