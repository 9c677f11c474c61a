"""Words of the magics that name what is live: tasks, sessions, variables; completed, and with "Did you mean"."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from rain.client.arrays import ObjectArray, TaskArray
from rain.client.handles import Item
from rain.client.objects import DataObject
from rain.client.session import Session
from rain.client.task import Task
from rain.core.errors import RainException
from rain.kernel_ext.notebook import Notebook

#: Variables that are data of a session.
HANDLES = (Task, DataObject, TaskArray, ObjectArray)

pass_notebook = click.make_pass_decorator(Notebook)


class LiveName(click.ParamType[str]):
    """A text that `names` completes."""

    def __init__(self, shown: str, names: Callable[[Notebook], Iterable[str]]) -> None:
        self.name = shown
        self._names = names

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The live names that begin so; none where nobody can be asked."""
        notebook = ctx.find_object(Notebook)
        if notebook is None:
            return []
        try:
            names = sorted(set(self._names(notebook)))
        except (RainException, TimeoutError):
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def did_you_mean(name: str, there: Iterable[str]) -> str:
    """The end of an error about a name that is not there: what is meant, or what there is."""
    known = sorted(set(there))
    close = difflib.get_close_matches(name, known, n=2)
    if close:
        return f". Did you mean {' or '.join(map(repr, close))}?"
    if not known:
        return ""
    return f"; there are {', '.join(known[:10])}{', …' if len(known) > 10 else ''}"


def find_items(notebook: Notebook, names: Sequence[str]) -> list[Item]:
    """What these names mean: variables of the notebook, ids such as "s1.t3", or names of tasks. Raises RainException.

    A name that several tasks have stands for all of them.
    """
    return [item for name in names for item in _items(notebook, name)]


def find_task(notebook: Notebook, name: str) -> Task:
    """The one task that a name means; of a data object the task that makes it. Raises RainException."""
    items = find_items(notebook, [name])
    task = items[0]
    if len(items) > 1:
        ids = ", ".join(each.id for each in items[:4] if isinstance(each, Task))
        raise RainException(f"{len(items)} tasks are called {name!r}: name one by its id ({ids}, …)")
    if isinstance(task, DataObject) and task._task is not None:
        task = task._task
    if not isinstance(task, Task):
        hint = "name one of its tasks by its id" if isinstance(task, TaskArray | ObjectArray) else "no task makes it"
        raise RainException(f"{name!r} is no single task, it is {task!r}: {hint}")
    return task


def sessions_of(notebook: Notebook) -> list[dict[str, Any]]:
    """The sessions at the server that the notebook is connected with; none where it is not."""
    client = notebook.connected
    return [] if client is None else client.sessions()


def task_names(notebook: Notebook) -> list[str]:
    """Names of tasks of the active session, and variables that stand for tasks."""
    variables = [name for name, value in _variables(notebook) if isinstance(value, HANDLES)]
    return [*_session_names(notebook), *variables]


def data_names(notebook: Notebook) -> list[str]:
    """Variables that a task can read: what the user made, not what was imported."""
    unsuited = (type(click), type, Session)
    return [name for name, value in _variables(notebook) if not isinstance(value, unsuited)]


TASK = LiveName("TASK", task_names)
SESSION = LiveName("NAME", lambda notebook: [each["name"] or each["session_id"] for each in sessions_of(notebook)])
VARIABLE = LiveName("NAME", data_names)


def _items(notebook: Notebook, name: str) -> Sequence[Item]:
    value = notebook.namespace.get(name)
    if isinstance(value, HANDLES):
        return [value]
    session = notebook.session
    if re.fullmatch(r"s\d+\.t\d+", name):
        return [session.tasks.with_id(name)]
    found: Sequence[Item] = session.tasks.all(name)
    if not found:
        raise RainException(f"no task is called {name!r} in {session!r}{did_you_mean(name, task_names(notebook))}")
    return found


def _session_names(notebook: Notebook) -> list[str]:
    try:
        return notebook.session.tasks.names()
    except RainException:
        return []


def _variables(notebook: Notebook) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in list(notebook.namespace.items()) if not name.startswith("_")]
