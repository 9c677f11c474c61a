"""`session.tasks`: the tasks of a session by their names, whoever made them, with what they read."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from rain.client.graph import SentConstant
from rain.client.handles import find_handles
from rain.client.machine.effects import Trouble
from rain.client.objects import DataObject
from rain.client.task import Task
from rain.core.errors import RainException
from rain.core.ids import MAX_ID, NONE, parse_task
from rain.protocol.attaching import FindTasks, TasksFound
from rain.protocol.columns import pack, unpack

if TYPE_CHECKING:
    from rain.client.requests import Asking
    from rain.client.session import Session


class _ReadInput(msgspec.Struct, frozen=True):
    """An input as the server knows it; the producer is NONE for a constant."""

    number: int
    producer: int
    producer_output: int
    content_type: str | None


class _FoundTask(msgspec.Struct, frozen=True):
    number: int
    first_output: int
    #: None: not known.
    inputs: tuple[_ReadInput, ...] | None = None


class NamedTasks:
    """Finds tasks by name, also those of a session that another client began.

    `session.tasks["name"]`: the task; `session.tasks.all("name")`: all tasks of that name.
    """

    __slots__ = ("_constants", "_found", "_session")

    def __init__(self, session: Session) -> None:
        self._session = session
        #: So that a task, or a constant that one reads, is found as the same one again.
        self._found: weakref.WeakValueDictionary[int, Task] = weakref.WeakValueDictionary()
        self._constants: weakref.WeakValueDictionary[int, DataObject] = weakref.WeakValueDictionary()

    def __getitem__(self, name: str) -> Task:
        """The only task of that name. Raises KeyError where there is none, RainException where there are several."""
        count, found = self._find(name, 1)
        if not count:
            raise KeyError(f"no task is called {name!r} in {self._session!r}")
        if count > 1:
            raise RainException(f"{count} tasks are called {name!r}: `session.tasks.all({name!r})` lists them")
        return self._handles(found)[0]

    #: Not by number either, which Python would try.
    __iter__ = None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._find(name, 0)[0])

    def all(self, name: str) -> list[Task]:
        """All tasks of that name, in the order in which they were made."""
        return self._handles(self._find(name, MAX_ID)[1])

    def with_id(self, task_id: str) -> Task:
        """The task with an id such as "s1.t3"; it was submitted. Raises RainException where there is none."""
        session = self._session
        session._check_open("searched for tasks")
        of_session, number = parse_task(task_id)
        n_tasks = len(session._graph.task_states)
        if of_session != session._session_id or number >= n_tasks:
            raise RainException(f"{task_id} is no submitted task of {session!r}; there are {n_tasks}, numbered from 0")
        return self._handles(self._ask([number])[1])[0]

    def names(self) -> list[str]:
        """The names that its tasks have, those that are not submitted included; each name once."""
        with self._session._graph.lock:
            return list(dict.fromkeys(spec.name for spec in self._session._graph.specs if spec.name))

    def _read_inputs(self, task: Task) -> None:
        """Asks the server for what a task reads of which only the number was known here."""
        session = self._session
        session._check_open("asked for the inputs of its tasks")
        if not session._graph.builder.is_submitted_task(task._number):
            raise RainException(
                f"{task._described()} is not submitted and its first handle is gone, so nobody knows its inputs: "
                "call `submit()` first, or keep the handle"
            )
        self._handles(self._ask([task._number])[1])

    def _find(self, name: str, limit: int) -> tuple[int, list[_FoundTask]]:
        """How many tasks have the name, and at most `limit` of them."""
        if not isinstance(name, str):
            raise RainException(f"tasks are found by their names, found {name!r}")
        session = self._session
        session._check_open("searched for tasks")
        # In this order, so that what another thread submits meanwhile is not missed.
        here = session._graph.unsubmitted_named(name)
        count, found = self._ask(name, limit) if session._graph.task_states else (0, [])
        known = {each.number for each in found}
        new = [_FoundTask(number, output) for number, output in here if number not in known]
        return count + len(new), found + new[: max(0, limit - len(found))]

    def _ask(self, wanted: str | Sequence[int], limit: int = 0) -> tuple[int, list[_FoundTask]]:
        session = self._session
        number = session._session_id

        async def steps(ask: Asking) -> list[TasksFound] | Trouble:
            pages: list[TasksFound] = []
            first, n_found = 0, 0
            while True:
                if isinstance(wanted, str):
                    name, left, tasks = wanted, limit - n_found, pack("I", ())
                else:
                    name, left, tasks = None, 0, pack("I", wanted[n_found:])
                page = await ask(lambda request: FindTasks(request, number, name, first, left, tasks))  # noqa: B023
                if isinstance(page, Trouble):
                    return page
                assert isinstance(page, TasksFound), "the server answers FindTasks with nothing else"
                pages.append(page)
                rows = unpack("I", page.tasks, "tasks")
                n_found += len(rows)
                if not rows or n_found >= (min(limit, page.count) if isinstance(wanted, str) else len(wanted)):
                    return pages
                first = rows[-1] + 1

        pages = session._requests.read(steps).result()
        for page in pages:
            session._graph.adopt_users(page.task_users, page.object_users)
        return pages[0].count, [task for page in pages for task in _tasks_of(page)]

    def _handles(self, found: Sequence[_FoundTask]) -> list[Task]:
        """The user's own handles where there are any, else new ones."""
        session = self._session
        outputs = {each.number: each.first_output for each in found}
        for each in found:
            outputs.update((one.producer, one.producer_output) for one in each.inputs or () if one.producer != NONE)
        with session._graph.lock:
            # Held here, since the register holds nothing.
            tasks = {number: self._found[number] for number in outputs if number in self._found}
            tasks |= find_handles(session, outputs.keys() - tasks.keys())
            for number, first_output in outputs.items():
                if number not in tasks:
                    tasks[number] = self._new_handle(number, first_output)
            self._found.update(tasks)
            for each in found:
                task = tasks[each.number]
                if task._inputs is None and each.inputs is not None:
                    task._inputs = [self._object(one, tasks) for one in each.inputs]
        return [tasks[each.number] for each in found]

    def _new_handle(self, number: int, first_output: int) -> Task:
        element = self._session._graph.element(number)
        if element is not None and element[2] is not None:
            return element[2].task(element[0], stays=False)
        task = Task.__new__(Task)
        task._set(self._session, number, first_output, None)
        return task

    def _object(self, read: _ReadInput, tasks: dict[int, Task]) -> DataObject:
        if read.producer != NONE:
            return tasks[read.producer].outputs[read.number - read.producer_output]
        found = self._constants.get(read.number)
        if found is None:
            found = DataObject(self._session, read.number, None, SentConstant(read.content_type))
            self._constants[read.number] = found
        return found


def _tasks_of(page: TasksFound) -> Iterable[_FoundTask]:
    tasks = unpack("I", page.tasks, "tasks")
    types = iter(page.constant_types)
    producers = unpack("I", page.producer, "producer")
    inputs = [
        _ReadInput(number, producer, output, next(types, None) if producer == NONE else None)
        for number, producer, output in zip(
            unpack("I", page.inputs, "inputs", len(producers)),
            producers,
            unpack("I", page.producer_output, "producer_output", len(producers)),
            strict=True,
        )
    ]
    at = 0
    for number, first_output, count in zip(
        tasks,
        unpack("I", page.first_output, "first_output", len(tasks)),
        unpack("I", page.n_inputs, "n_inputs", len(tasks)),
        strict=True,
    ):
        yield _FoundTask(number, first_output, tuple(inputs[at : at + count]))
        at += count
