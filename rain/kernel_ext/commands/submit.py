"""`%rain submit`: what is new goes out."""

from __future__ import annotations

import click

from rain.kernel_ext.notebook import Notebook
from rain.kernel_ext.showing import show_submitted
from rain.kernel_ext.values import pass_notebook


@click.command("submit")
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds to wait at most while too much is unfinished.")
@pass_notebook
def command(notebook: Notebook, timeout: float | None) -> None:
    """Send what was built since the last submit, and show the session; the cell does not wait for the work."""
    session = notebook.session
    n_tasks = session.task_count
    session.submit(timeout=timeout)
    show_submitted(notebook.views, session, n_tasks)
