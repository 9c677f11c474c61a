"""What a session asks its server for: the messages, and what their answers change at the client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rain.client.building import SessionGraph, gone_text
from rain.client.failures import is_cancelled
from rain.client.machine.effects import Reply, Trouble
from rain.client.machine.events import Request
from rain.client.objects import DataObject
from rain.client.pending import Pending
from rain.client.records import (
    CANCELLED,
    FAILED,
    FINISHED,
    OBJECT_FINISHED,
    OBJECT_STATE_NUMBERS,
    OBJECT_UNFINISHED,
    RUNNING,
    TASK_STATE_NUMBERS,
    WAITING,
    ObjectRecord,
    TaskRecord,
)
from rain.client.submission import parts, uploads
from rain.client.task import Task
from rain.core.errors import RainException
from rain.core.failure import Cause
from rain.core.ids import session_name
from rain.protocol.client import (
    CancelTasks,
    CloseSession,
    ObjectNews,
    QueryObjects,
    QueryTasks,
    TaskInfo,
    TaskNews,
    Unkeep,
    Wait,
    WaitDone,
)
from rain.protocol.codec import encode
from rain.protocol.columns import pack, unpack

if TYPE_CHECKING:
    from rain.client.session import Session
    from rain.client.shell import Shell
    from rain.data.instance import DataInstance

Asking = Callable[[Callable[[int], Request]], Awaitable[Reply | Trouble]]
#: States of all tasks after everything is done: what was not known otherwise has finished.
_ALL_DONE = bytes(FINISHED if state in (WAITING, RUNNING) else state for state in range(256))
_ALL_MADE = bytes(OBJECT_FINISHED if state == OBJECT_UNFINISHED else state for state in range(256))


class SessionRequests:
    """The conversation of one session with the server; every method checks first and then returns what is pending."""

    def __init__(self, session: Session, graph: SessionGraph, shell: Shell | None) -> None:
        self._session = session
        self._graph = graph
        self._connection = shell
        self._number = session._session_id
        #: Tasks were cancelled, or may fail alone: then `wait_all` has to ask which ones are not finished.
        self._mixed_ends = not session._fail_fast

    @property
    def _shell(self) -> Shell:
        if self._connection is None:
            raise RainException(
                f"session {session_name(self._number)} has no server, graphs can only be built in it: "
                "make one with `Client(…).new_session()`"
            )
        return self._connection

    def submit(self, timeout: float | None) -> None:
        """Sends the graph, all or nothing. Raises TimeoutError while the server has too much to do."""
        from rain.client.pacing import Ticket

        shell = self._shell
        with self._graph.lock:
            order = self._graph.order()
            if order is None:
                return
            messages = list(uploads(order))
            n_bytes = sum(len(payload) for _, payload in messages)
            for part in parts(order):
                frames = encode(part)
                n_bytes += len(frames)
                messages.append([frames])
            ticket = Ticket()
            future = shell.submit(self._number, self._graph.builder.n_tasks, n_bytes, messages, ticket)
            try:
                trouble = Pending(future, lambda outcome: outcome, "the work that is submitted").result(timeout)
            except BaseException:
                if not ticket.take():
                    self._after_submit(order)
                raise
            if trouble is not None:
                raise self._session._exception(trouble)
            self._after_submit(order)

    def wait(self, tasks: Sequence[Task], objects: Sequence[DataObject]) -> Pending[None]:
        """Waits for all of these."""
        shell = self._shell
        numbers = _task_numbers(tasks, objects)

        def finish(outcome: WaitDone | Trouble | None) -> None:
            if isinstance(outcome, Trouble):
                raise self._failed(outcome, tasks)
            self._mark_finished(numbers, objects)

        if not numbers:
            return Pending(None, finish)
        column = pack("I", numbers)
        return Pending(shell.ask(lambda request: Wait(request, self._number, column)), finish)

    def wait_some(
        self, tasks: Sequence[Task], objects: Sequence[DataObject]
    ) -> Pending[tuple[list[Task], list[DataObject]]]:
        """Waits for at least one of these."""
        shell = self._shell
        numbers = _task_numbers(tasks, objects)

        def finish(outcome: WaitDone | Trouble | None) -> tuple[list[Task], list[DataObject]]:
            if isinstance(outcome, Trouble):
                raise self._failed(outcome, tasks)
            done = set() if outcome is None else set(unpack("I", outcome.finished, "finished"))
            some_tasks = [task for task in tasks if task._number in done]
            some_objects = [obj for obj in objects if obj._task is None or obj._task._number in done]
            self._mark_finished(done, some_objects)
            return some_tasks, some_objects

        if not numbers or any(obj._task is None for obj in objects):
            return Pending(None, finish)
        column = pack("I", numbers)
        return Pending(shell.ask(lambda request: Wait(request, self._number, column, some=True)), finish)

    def wait_all(self) -> Pending[None]:
        """Waits for everything that was submitted."""
        until = len(self._graph.task_states)
        if not until:
            return Pending(None, lambda outcome: None)
        shell = self._shell

        async def steps(ask: Asking) -> tuple[Reply | Trouble, list[int], Reply | Trouble | None]:
            outcome = await ask(lambda request: Wait(request, self._number, all_tasks=True))
            if not self._mixed_ends:
                return outcome, [], None
            states = self._graph.task_states
            unknown = [number for number in range(until) if states[number] in (WAITING, RUNNING)]
            return (
                outcome,
                unknown,
                await ask(lambda request: QueryTasks(request, self._number, pack("I", unknown))),
            )

        def finish(outcomes: tuple[Reply | Trouble, list[int], Reply | Trouble | None]) -> None:
            outcome, unknown, news = outcomes
            if isinstance(news, TaskNews):
                self._learn_tasks(unknown, news.tasks)
            if isinstance(outcome, Trouble):
                raise self._failed(outcome, ())
            if not self._mixed_ends:
                self._mark_all(until)

        return Pending(shell.run(steps), finish)

    def fetch(self, objects: Sequence[DataObject]) -> Pending[list[DataInstance]]:
        """Gets these objects. Raises RainException at once for those that can never be had."""
        from rain.data.instance import DataInstance

        self._check_fetchable(objects)
        remote = [obj._number for obj in objects if obj._constant is None]

        def finish(outcome: Any) -> list[DataInstance]:
            if isinstance(outcome, Trouble):
                raise self._failed(outcome, ())
            found = iter(outcome or ())
            instances = []
            for obj in objects:
                if obj._constant is not None:
                    instance = DataInstance(obj._constant.data, content_type=obj._constant.content_type, spec=obj.spec)
                else:
                    stored = next(found)
                    where: dict[str, Any] = (
                        {"data": stored.data}
                        if isinstance(stored.data, bytes)
                        else {"path": stored.data, "temporary": True}
                    )
                    instance = DataInstance(content_type=stored.content_type, size=stored.size, spec=obj.spec, **where)
                obj._info = ObjectRecord(instance.size, instance.content_type)
                instances.append(instance)
            self._mark_finished((obj._task._number for obj in objects if obj._task is not None), objects)
            return instances

        if not remote:
            return Pending(None, finish)
        return Pending(self._shell.fetch(self._number, remote), finish)

    def update(self, tasks: Sequence[Task], objects: Sequence[DataObject]) -> Pending[None]:
        """Asks for the present state of these."""
        shell = self._shell
        task_numbers = [task._number for task in tasks]
        object_numbers = [obj._number for obj in objects]

        async def steps(ask: Asking) -> list[Reply | Trouble | None]:
            return [
                await ask(lambda request: QueryTasks(request, self._number, pack("I", task_numbers)))
                if tasks
                else None,
                await ask(lambda request: QueryObjects(request, self._number, pack("I", object_numbers)))
                if objects
                else None,
            ]

        def finish(outcomes: list[Reply | Trouble | None]) -> None:
            for outcome in outcomes:
                if isinstance(outcome, Trouble):
                    raise self._failed(outcome, tasks)
                if isinstance(outcome, TaskNews):
                    self._learn_tasks(task_numbers, outcome.tasks)
                    for task, task_news in zip(tasks, outcome.tasks, strict=True):
                        task._info = TaskRecord(task_news)
                elif isinstance(outcome, ObjectNews):
                    for obj, object_news in zip(objects, outcome.objects, strict=True):
                        obj._info = ObjectRecord.of(object_news)
                        number = OBJECT_STATE_NUMBERS.get(object_news.state)
                        if number:
                            self._graph.object_states[obj._number] = number

        return Pending(shell.run(steps) if tasks or objects else None, lambda outcome: finish(outcome or []))

    def unkeep(self, objects: Sequence[DataObject]) -> None:
        """Takes marks away and tells the server."""
        tell = self._graph.unkeep(obj._number for obj in objects)
        if tell:
            self._shell.tell(Unkeep(self._number, pack("I", tell)))

    def cancel(self, tasks: Sequence[Task], objects: Sequence[DataObject]) -> Pending[None]:
        """Stops these and what depends on them."""
        shell = self._shell
        numbers = _task_numbers(tasks, objects)

        def finish(outcome: Reply | Trouble | None) -> None:
            if isinstance(outcome, Trouble):
                raise self._failed(outcome, tasks)

        if not numbers:
            return Pending(None, finish)
        self._mixed_ends = True
        return Pending(shell.ask(lambda request: CancelTasks(request, self._number, pack("I", numbers))), finish)

    def close(self, limit_s: float) -> None:
        """Has the server end the session, where there is one that can be asked."""
        if self._connection is not None and self._connection.usable:
            Pending(
                self._connection.ask(lambda request: CloseSession(request, self._number)), lambda outcome: None
            ).result(limit_s)

    def _after_submit(self, order: Any) -> None:
        unkept = self._graph.submitted(order)
        if unkept:
            self._shell.tell(Unkeep(self._number, pack("I", unkept)))

    def _check_fetchable(self, objects: Sequence[DataObject]) -> None:
        builder = self._graph.builder
        for obj in objects:
            if not builder.is_submitted_object(obj._number):
                raise RainException(
                    f"{obj._described()} is not submitted, so it cannot be fetched: call `.keep()` and `submit()` first"
                )
            if not builder.is_kept(obj._number):
                raise RainException(gone_text(obj))

    def _failed(self, trouble: Trouble, waited: Sequence[Task]) -> RainException:
        states = self._graph.task_states
        if trouble.task is not None and trouble.task < len(states):
            states[trouble.task] = CANCELLED if is_cancelled(trouble) else FAILED
        return self._session._exception(trouble, waited)

    def _mark_finished(self, tasks: Iterable[int], objects: Iterable[DataObject]) -> None:
        graph = self._graph
        for number in tasks:
            graph.task_states[number] = FINISHED
        for obj in objects:
            graph.object_states[obj._number] = OBJECT_FINISHED

    def _mark_all(self, until: int) -> None:
        graph = self._graph
        with graph.lock:
            graph.task_states[:until] = graph.task_states[:until].translate(_ALL_DONE)
            if until == len(graph.task_states):
                graph.object_states = graph.object_states.translate(_ALL_MADE)

    def _learn_tasks(self, numbers: Sequence[int], news: Sequence[TaskInfo]) -> None:
        for number, each in zip(numbers, news, strict=True):
            state = TASK_STATE_NUMBERS.get(each.state)
            # To the server what depends on a failed task is cancelled; to the user it failed with it.
            if state == CANCELLED and each.failure is not None and each.failure.cause is not Cause.CANCELLED:
                state = FAILED
            if state:
                self._graph.task_states[number] = state


def _task_numbers(tasks: Iterable[Task], objects: Iterable[DataObject]) -> list[int]:
    """The tasks that all these wait for, once each; constants wait for none."""
    numbers = dict.fromkeys(task._number for task in tasks)
    numbers.update(dict.fromkeys(obj._task._number for obj in objects if obj._task is not None))
    return list(numbers)
