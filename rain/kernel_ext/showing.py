"""What a notebook is shown of a session: one function for each thing to look at, called by the magics."""

from __future__ import annotations

from typing import Any

import click

from rain.client.failure_view import failure_html
from rain.client.session import Session
from rain.core.errors import TaskException
from rain.kernel_ext.view.views import Views


def show_submitted(views: Views, session: Session, n_tasks: int) -> None:
    """Shows a session after some of its tasks were submitted: its live view, or a line where that goes on elsewhere."""
    if views.submitted(session):
        return
    tasks = "1 task" if n_tasks == 1 else f"{n_tasks} tasks"
    click.echo(f"submitted {tasks} of {session!r}")


def show_failure(error: TaskException) -> None:
    """Shows why a task failed."""
    from IPython.display import display

    shown = {"text/plain": "\n".join(error._render_traceback_()), "text/html": str(failure_html(error))}
    display(shown, raw=True)


def graph_of(session: Session, **options: Any) -> Any:
    """The task graph as a notebook displays it."""
    return session.graph(**options)
