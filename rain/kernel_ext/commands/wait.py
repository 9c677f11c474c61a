"""`%rain wait`: until tasks are finished."""

from __future__ import annotations

import click

from rain.kernel_ext.notebook import Notebook
from rain.kernel_ext.values import TASK, find_items, pass_notebook


@click.command("wait")
@click.argument("tasks", type=TASK, nargs=-1)
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds to wait at most.")
@pass_notebook
def command(notebook: Notebook, tasks: tuple[str, ...], timeout: float | None) -> None:
    """Wait until TASKS are finished, or all that was submitted; a failed one is an error.

    TASKS are variables, names, or ids such as s1.t3.
    """
    if not tasks:
        session = notebook.session
        notebook.views.wait(session, session._waiting_all, timeout, everything=True)
        return
    items = find_items(notebook, tasks)
    session = items[0].session
    notebook.views.wait(session, lambda: session._waiting(items), timeout, everything=False)
