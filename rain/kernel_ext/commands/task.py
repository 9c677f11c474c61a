"""`%%rain task`: the cell becomes one Python task."""

from __future__ import annotations

from typing import Any

import click

from rain.cli.params import MEMORY, RESOURCE
from rain.client.options import OPTION_NAMES
from rain.client.remote import function
from rain.client.task import Task
from rain.kernel_ext.cell import check_own_session, names_in, values_of
from rain.kernel_ext.cell_function import called_from, cell_function
from rain.kernel_ext.notebook import Notebook
from rain.kernel_ext.values import VARIABLE, pass_notebook


def task_options(command: Any) -> Any:
    """Adds what every task can be told."""
    options = [
        click.option("--name", help="The name that views show."),
        click.option("--cpus", type=click.FloatRange(min=0), help="How many it needs (1)."),
        click.option("--gpus", type=click.FloatRange(min=0), help="How many it needs (0)."),
        click.option("--memory", type=MEMORY, help="How much it needs, for example `4GiB`."),
        click.option("--resource", "resources", type=RESOURCE, multiple=True, help="A named resource; repeatable."),
        click.option("--retries", type=click.IntRange(min=0), help="How often a failed attempt is tried again (0)."),
        click.option("--priority", type=int, help="Higher ones run first (0)."),
        click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds that an attempt may run."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def told(options: dict[str, Any]) -> dict[str, Any]:
    """The options as calls of Rain take them."""
    found = {name: value for name, value in options.items() if name in OPTION_NAMES and value is not None}
    found["resources"] = dict(options["resources"])
    return found


def bind(notebook: Notebook, task: Task, names: list[str]) -> Task | None:
    """Sets variables to the outputs of these labels; the task itself where there are none."""
    for name in names:
        notebook.namespace[name] = task.outputs[name]
    return None if names else task


@click.command("task")
@click.option("-i", "--input", "inputs", type=VARIABLE, multiple=True, help="A variable that it reads; repeatable.")
@click.option("-o", "--output", "outputs", metavar="NAME", multiple=True, help="A variable that it makes; repeatable.")
@task_options
@pass_notebook
def command(notebook: Notebook, /, inputs: tuple[str, ...], outputs: tuple[str, ...], **options: Any) -> Task | None:
    """The rest of the cell becomes one Python task of the session, as a function that is called.

    Inputs are variables of the notebook: data objects and tasks arrive as their values, other values as they are.
    Outputs are variables that the cell assigns, or what it returns; after the cell they stand for the data objects.
    Without outputs, the value of the cell is the task. Modules and functions of the notebook can be used.
    """
    cell = notebook.cell
    assert cell is not None, "a command of a cell"
    reads, makes = names_in(inputs, "-i"), names_in(outputs, "-o")
    values = values_of(notebook, reads, "-i")
    check_own_session(notebook, values)
    filename = cell.filename()
    name = options["name"] or "_".join(["cell", *makes])
    body = cell_function(
        cell.body,
        name=name if name.isidentifier() else "cell",
        inputs=reads,
        outputs=makes,
        filename=filename,
        namespace=notebook.namespace,
    )
    make = function(outputs=makes or 1, name=name)(body)
    task: Task = called_from(filename, make, *values, **told(options))
    return bind(notebook, task, makes)
