"""`%%rain sh`: the cell becomes one task that a shell runs."""

from __future__ import annotations

from typing import Any

import click

from rain.client.execute import Execute
from rain.client.objects import DataObject, blob, to_dataobj
from rain.client.ports import Input, InputDir, Output, OutputDir
from rain.client.task import Task
from rain.core.content import DIRECTORY
from rain.core.errors import RainException
from rain.kernel_ext.cell import check_own_session, names_in, values_of
from rain.kernel_ext.cell_function import called_from
from rain.kernel_ext.commands.task import bind, task_options, told
from rain.kernel_ext.notebook import Notebook
from rain.kernel_ext.values import HANDLES, VARIABLE, pass_notebook


@click.command("sh")
@click.option(
    "-i", "--input", "inputs", type=VARIABLE, multiple=True, help="A variable; the cell finds a file of its name."
)
@click.option(
    "-o", "--output", "outputs", metavar="NAME[/]", multiple=True, help="A file, or a folder, that the cell makes."
)
@click.option("--stdout", metavar="NAME", help="A variable for what the cell prints.")
@click.option("--stdin", type=VARIABLE, help="A variable that the cell reads as its standard input.")
@task_options
@pass_notebook
def command(
    notebook: Notebook,
    /,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    stdout: str | None,
    stdin: str | None,
    **options: Any,
) -> Task | None:
    """The rest of the cell becomes one task of the session, which `sh` runs in an empty folder.

    Inputs are variables of the notebook: data objects, tasks with one output, texts or bytes; each is a file, or a
    folder, of that name. Outputs are files of that name, or folders (`-o results/`), which the cell leaves there; after
    the cell, variables of these names stand for the data objects. Without outputs, the value of the cell is the task.
    """
    cell = notebook.cell
    assert cell is not None, "a command of a cell"
    if not cell.body.strip():
        raise click.ClickException("the cell has no command below its first line")
    folders = {name.rstrip("/") for name in names_in(outputs, "-o", plain=False) if name.endswith("/")}
    makes = names_in([name.rstrip("/") for name in outputs], "-o")
    reads = names_in(inputs, "-i")
    values = values_of(notebook, [*reads, *([stdin] if stdin else [])], "-i")
    check_own_session(notebook, values)
    given = [(_as_object(name, value)) for name, value in zip([*reads, stdin], values, strict=False)]
    ports = [_input(name, obj) for name, obj in zip(reads, given, strict=False)]
    printed = names_in([stdout], "--stdout") if stdout else []
    task: Task = called_from(
        cell.filename(),
        Execute,
        cell.body,
        stdout=printed[0] if printed else None,
        stdin=given[-1] if stdin else None,
        input_paths=ports,
        output_paths=[OutputDir(name) if name in folders else Output(name) for name in makes],
        shell=True,
        **{"name": "_".join(["sh", *makes]), **told(options)},
    )
    return bind(notebook, task, [*makes, *printed])


def _as_object(name: str | None, value: Any) -> DataObject:
    if isinstance(value, HANDLES):
        return to_dataobj(value)
    if isinstance(value, str | bytes | bytearray):
        return blob(value, label=name or "const")
    raise RainException(
        f"'{name}' is {type(value).__name__}, and a shell reads files: make data of it, blob({name}, encode=…)"
    )


def _input(name: str, obj: DataObject) -> Input:
    return InputDir(name, dataobj=obj) if obj.content_type == DIRECTORY else Input(name, path=name, dataobj=obj)
