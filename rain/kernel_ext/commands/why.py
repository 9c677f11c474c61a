"""`%rain why`: as `rain why`, of a task by any name."""

from __future__ import annotations

import click

from rain.cli.connect import choose, connected
from rain.kernel_ext.notebook import Notebook
from rain.kernel_ext.values import TASK, find_task, pass_notebook


@click.command("why")
@click.argument("task", type=TASK, required=False)
@pass_notebook
def command(notebook: Notebook, task: str | None) -> list[str]:
    """Explain why TASK (a variable, a name, or an id such as s1.t3) is not done, or how it ended.

    Without TASK: a line of each task that is not done.
    """
    if task is None:
        with connected(choose(None)) as cluster:
            lines = cluster.why()
        click.echo("\n".join(lines))
        return lines
    found = find_task(notebook, task)
    client = found.session.client
    if client is None or found.state is None:
        lines = [f"{found.id} is not submitted: `%rain submit` sends it"]
    else:
        lines = client.why(found)
    click.echo("\n  ".join(lines))
    return lines
