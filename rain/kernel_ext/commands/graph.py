"""`%rain graph`: the task graph of the session."""

from __future__ import annotations

from typing import Any

import click

from rain.kernel_ext.notebook import Notebook
from rain.kernel_ext.showing import graph_of
from rain.kernel_ext.values import TASK, find_items, pass_notebook


@click.command("graph")
@click.option("--around", type=TASK, multiple=True, help="Only this task and what is near it; repeatable.")
@click.option("--depth", type=click.IntRange(min=0), default=2, show_default=True, help="How near that is, in steps.")
@click.option("--group", help="Only tasks whose name begins so.")
@click.option("--collapse/--no-collapse", default=None, help="Join tasks of one name; default: where there are many.")
@pass_notebook
def command(notebook: Notebook, around: tuple[str, ...], depth: int, group: str | None, collapse: bool | None) -> Any:
    """Show the task graph of the session, coloured by state."""
    near = find_items(notebook, around) if around else None
    return graph_of(notebook.session, around=near, depth=depth, group=group, collapse=collapse)
