"""`rain why`: what a task waits for, or how it ended; and what all that are not done wait for."""

from __future__ import annotations

import click

from rain.cli.connect import choose, connected
from rain.cli.params import SERVER, Address
from rain.cli.table import show_json


@click.command("why")
@click.argument("task", required=False)
@click.argument("server", type=SERVER, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(task: str | None, server: Address | None, as_json: bool) -> list[str]:
    """Explain why TASK (such as s1.t3) is not done, or how it ended; of an object (s1.o3) the task that makes it.

    Without TASK, or for a session (s1): a line of each task that is not done. SERVER may be left out where only one
    runs.
    """
    if task is not None and server is None and _is_address(task):
        task, server = None, SERVER.convert(task, None, None)
    with connected(choose(server)) as client:
        lines = client.why(task)
    if as_json:
        show_json({"task": task, "why": lines})
    else:
        click.echo(("\n" if task is None or "." not in task else "\n  ").join(lines))
    return lines


def _is_address(word: str) -> bool:
    """Whether a word alone is a server's port, or has one: no task is called so."""
    return word.isdigit() or word.rpartition(":")[2].isdigit()
