"""`%rain why`: as `rain why`, of a task by any name."""

from __future__ import annotations

import click

from rain.kernel_ext.notebook import Notebook
from rain.kernel_ext.values import TASK, find_task, pass_notebook


@click.command("why")
@click.argument("task", type=TASK)
@pass_notebook
def command(notebook: Notebook, task: str) -> list[str]:
    """Explain why TASK (a variable, a name, or an id such as s1.t3) is not done, or how it ended."""
    found = find_task(notebook, task)
    client = found.session.client
    if client is None or found.state is None:
        lines = [f"{found.id} is not submitted: `%rain submit` sends it"]
    else:
        lines = client.why(found)
    click.echo("\n  ".join(lines))
    return lines
