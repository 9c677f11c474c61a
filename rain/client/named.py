"""`session.tasks`: the tasks of a session by their names."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from rain.client.handles import find_task
from rain.client.task import Task
from rain.core.errors import RainException

if TYPE_CHECKING:
    from rain.client.session import Session


class NamedTasks:
    """Finds tasks by name, also those of a session that another client began.

    `session.tasks["name"]`: the task; `session.tasks.all("name")`: all tasks of that name. What a task of another
    client reads is not known here, so its `inputs` are empty.
    """

    __slots__ = ("_found", "_session")

    def __init__(self, session: Session) -> None:
        self._session = session
        #: So that a task is found as the same one again.
        self._found: weakref.WeakValueDictionary[int, Task] = weakref.WeakValueDictionary()

    def __getitem__(self, name: str) -> Task:
        """The only task of that name. Raises KeyError where there is none, RainException where there are several."""
        numbers = self._numbers(name)
        if not numbers:
            raise KeyError(f"no task is called {name!r} in {self._session!r}")
        if len(numbers) > 1:
            raise RainException(f"{len(numbers)} tasks are called {name!r}: `session.tasks.all({name!r})` lists them")
        return self._task(*numbers[0])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._numbers(name))

    def all(self, name: str) -> list[Task]:
        """All tasks of that name, in the order in which they were made."""
        return [self._task(*numbers) for numbers in self._numbers(name)]

    def _numbers(self, name: str) -> list[tuple[int, int]]:
        """Numbers of tasks and of their first outputs."""
        if not isinstance(name, str):
            raise RainException(f"tasks are found by their names, found {name!r}")
        session = self._session
        submitted = session._requests.find_tasks(name).result()
        return submitted + session._graph.unsubmitted_named(name)

    def _task(self, number: int, first_output: int) -> Task:
        task = self._found.get(number)
        if task is None:
            task = find_task(self._session, number)
        if task is None:
            task = Task.__new__(Task)
            task._set(self._session, number, first_output, ())
        self._found[number] = task
        return task
