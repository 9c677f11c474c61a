"""`%rain tb`: why a task failed."""

from __future__ import annotations

import click

from rain.client.failure_view import failure_of
from rain.kernel_ext.notebook import Notebook
from rain.kernel_ext.showing import show_failure
from rain.kernel_ext.values import TASK, find_task, pass_notebook

#: The server has this long to answer.
ANSWER_LIMIT_S = 10.0


@click.command("tb")
@click.argument("task", type=TASK)
@pass_notebook
def command(notebook: Notebook, task: str) -> None:
    """Show why TASK (a variable, a name, or an id such as s1.t3) failed: its traceback, and what it printed last."""
    found = find_task(notebook, task)
    failure = failure_of(found, ANSWER_LIMIT_S)
    if failure is not None:
        show_failure(failure)
        return
    found.update()
    click.echo(f"task {found._described()} has not failed: it is {found.state}")
