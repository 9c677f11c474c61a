"""`%rain cancel`: tasks stop."""

from __future__ import annotations

import click

from rain.kernel_ext.notebook import Notebook
from rain.kernel_ext.values import TASK, find_items, pass_notebook


@click.command("cancel")
@click.argument("tasks", type=TASK, nargs=-1, required=True)
@pass_notebook
def command(notebook: Notebook, tasks: tuple[str, ...]) -> None:
    """Stop TASKS and everything that depends on them, running programs included.

    TASKS are variables, names, or ids such as s1.t3.
    """
    items = find_items(notebook, tasks)
    items[0].session.cancel(items)
