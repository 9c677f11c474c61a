"""`%rain logs`: what a task printed, or the logs of the cluster's programs."""

from __future__ import annotations

import click

from rain.cli.logs import command as cluster_logs
from rain.client.task import Task
from rain.kernel_ext.notebook import Notebook
from rain.kernel_ext.values import TASK, find_task, pass_notebook


@click.command("logs")
@click.argument("task", type=TASK, required=False)
@click.option("-n", "n_lines", type=click.IntRange(min=0), default=20, help="How many lines of each (20).")
@click.pass_context
@pass_notebook
def command(notebook: Notebook, context: click.Context, task: str | None, n_lines: int) -> None:
    """Show what TASK printed; without it, the logs of the cluster's server and workers on this machine.

    TASK is a variable, a name, or an id such as s1.t3.
    """
    if task is None:
        context.invoke(cluster_logs, server=None, follow=False, n_lines=n_lines, paths_only=False, as_json=False)
        return
    found = find_task(notebook, task)
    found.update()
    _show(found, n_lines)


def _show(task: Task, n_lines: int) -> None:
    attempts = task.info.attempts if task.info is not None else ()
    printed = False
    for attempt in attempts:
        where = f" of attempt {attempt.attempt}" if len(attempts) > 1 else ""
        for title, text in (("stdout", attempt.stdout), ("stderr", attempt.stderr), ("debug", attempt.debug)):
            if not text:
                continue
            lines = text.splitlines()
            left_out = f", the last {n_lines} of {len(lines)} lines" if len(lines) > n_lines else ""
            click.echo(f"==> {title}{where} of {task._described()}{left_out}")
            click.echo("\n".join(lines[max(0, len(lines) - n_lines) :]))
            printed = True
    if not printed:
        click.echo(f"task {task._described()} printed nothing; it is {task.state}")
