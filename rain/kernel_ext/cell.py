"""The cell of a `%%rain` magic: its text, and the file name by which tracebacks find its lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from rain.client.arrays import ObjectArray, TaskArray
from rain.client.objects import DataObject
from rain.client.task import Task
from rain.core.errors import RainException
from rain.kernel_ext.notebook import Notebook
from rain.kernel_ext.values import did_you_mean


class Cell:
    """What stands in the cell: the words behind `%%rain`, and the body below, which begins in line 2."""

    def __init__(self, line: str, body: str, shell: Any) -> None:
        self.body = body
        self._text = f"%%rain {line}\n{body}"
        self._shell = shell

    def filename(self) -> str:
        """A name under which Python, and IPython, finds the lines of the cell."""
        name: str = self._shell.compile.cache(self._text, self._shell.execution_count, raw_code=self._text)
        return name


def names_in(said: Sequence[str], option: str, *, plain: bool = True) -> list[str]:
    """The names of a repeatable option, in which several may be joined by commas. Raises click.BadParameter.

    `plain`: they are names of variables and nothing more.
    """
    names = [name for each in said for name in each.replace(",", " ").split()]
    for name in names:
        if plain and not name.isidentifier():
            raise click.BadParameter(f"{name!r} is no name of a variable", param_hint=option)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise click.BadParameter(f"{twice[0]!r} is named twice", param_hint=option)
    return names


def values_of(notebook: Notebook, names: Sequence[str], option: str) -> list[Any]:
    """The values of these variables. Raises click.BadParameter where there is none of that name."""
    there = [name for name in notebook.namespace if not name.startswith("_")]
    missing = [name for name in names if name not in notebook.namespace]
    if missing:
        raise click.BadParameter(
            f"there is no variable {missing[0]!r}{did_you_mean(missing[0], there)}", param_hint=option
        )
    return [notebook.namespace[name] for name in names]


def check_own_session(notebook: Notebook, values: Sequence[Any]) -> None:
    """Raises RainException where one is data of a session that is not the active one."""
    session = notebook.session
    for value in values:
        if isinstance(value, Task | DataObject | TaskArray | ObjectArray) and value.session is not session:
            raise RainException(
                f"{value!r} belongs to {value.session!r}, and the active session is {session!r}: data do not pass "
                "between sessions, fetch it there"
            )
