"""What a session asks its server for: the messages, and what their answers change at the client."""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import compress, islice
from typing import TYPE_CHECKING, Any, TypeVar

from rain.client.arrays import ObjectArray, TaskArray
from rain.client.building import SessionGraph, gone_text
from rain.client.failures import is_cancelled
from rain.client.fetched import FetchedData, fetched_values
from rain.client.handles import is_empty
from rain.client.machine.effects import Reply, Trouble
from rain.client.machine.events import Request
from rain.client.numbers import awaited_tasks, mark, number_column
from rain.client.objects import DataObject
from rain.client.pending import Pending, check_timeout
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
from rain.client.submission import check_on_disk, parts, streamed_uploads, uploads
from rain.client.task import Task
from rain.core.errors import RainException
from rain.core.failure import Cause
from rain.core.ids import session_name
from rain.protocol.client import (
    CancelTasks,
    CloseSession,
    FindTasks,
    ObjectNews,
    QueryObjects,
    QueryTasks,
    TaskNews,
    TasksFound,
    Unkeep,
    Wait,
    WaitDone,
)
from rain.protocol.codec import encode
from rain.protocol.columns import column, pack, unpack
from rain.protocol.shown import ObjectInfo, TaskInfo

if TYPE_CHECKING:
    from rain.client.session import Session
    from rain.client.shell import Shell

T = TypeVar("T")
Tasks = Sequence[Task | TaskArray]
Objects = Sequence[DataObject | ObjectArray]
Asking = Callable[[Callable[[int], Request]], Awaitable[Reply | Trouble]]
#: States of all tasks after everything is done: what was not known otherwise has finished.
_ALL_DONE = bytes(FINISHED if state in (WAITING, RUNNING) else state for state in range(256))
_IS_OPEN = bytes(state in (WAITING, RUNNING) for state in range(256))
_ALL_MADE = bytes(OBJECT_FINISHED if state == OBJECT_UNFINISHED else state for state in range(256))


class SessionRequests:
    """The conversation of one session with the server; every method checks first and then returns what is pending."""

    def __init__(self, session: Session, graph: SessionGraph, shell: Shell | None) -> None:
        self._session = session
        self._graph = graph
        self._connection = shell
        self._number = session._session_id
        #: Warns who waits for what no worker can run.
        self._look = session._unrunnable.show
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
        check_timeout(timeout)
        with self._graph.lock:
            order = self._graph.order()
            if order is None:
                self._unkeep(self._graph.taken_back())
                return
            streamed = streamed_uploads(order) if check_on_disk(order) else ()
            messages = list(uploads(order))
            n_bytes = sum(len(payload) for _, payload in messages)
            for part in parts(order):
                frames = encode(part)
                n_bytes += len(frames)
                messages.append([frames])
            ticket = Ticket()
            n_tasks = self._graph.builder.n_tasks
            future = shell.submit(self._number, n_tasks, n_bytes, messages, ticket, streamed=streamed)
            try:
                trouble = Pending(future, lambda outcome: outcome, "the work that is submitted").result(timeout)
            except BaseException:
                if not ticket.take():
                    self._after_submit(order)
                raise
            if trouble is not None:
                raise self._session._exception(trouble)
            self._after_submit(order)

    def wait(self, tasks: Tasks, objects: Objects) -> Pending[None]:
        """Waits for all of these."""
        shell = self._shell
        numbers = awaited_tasks(tasks, objects)

        def finish(outcome: WaitDone | Trouble | None) -> None:
            if isinstance(outcome, Trouble):
                raise self._failed(outcome, tasks)
            self._mark_finished(tasks, objects)

        if not numbers:
            return Pending(None, finish)
        return Pending(shell.ask(lambda request: Wait(request, self._number, column(numbers))), finish, look=self._look)

    def wait_some(self, tasks: Tasks, objects: Objects) -> Pending[tuple[list[Task], list[DataObject]]]:
        """Waits for at least one of these; of arrays the finished elements are returned."""
        numbers = awaited_tasks(tasks, objects)
        has_constant = any(isinstance(obj, DataObject) and obj._task is None for obj in objects)

        def finish(done: set[int]) -> tuple[list[Task], list[DataObject]]:
            some_tasks: list[Task] = []
            for task in tasks:
                if isinstance(task, TaskArray):
                    some_tasks += [task._handle(i) for i, number in enumerate(task._task_numbers) if number in done]
                elif task._number in done:
                    some_tasks.append(task)
            some_objects: list[DataObject] = []
            for obj in objects:
                if isinstance(obj, ObjectArray):
                    some_objects += [obj._handle(i) for i, number in enumerate(obj._task_numbers) if number in done]
                elif obj._task is None or obj._task._number in done:
                    some_objects.append(obj)
            self._mark_finished(some_tasks, some_objects)
            return some_tasks, some_objects

        return self._finished(numbers[:0] if has_constant else numbers, tasks, finish)

    def finished_among(self, numbers: array[int]) -> Pending[set[int]]:
        """Waits until at least one of these tasks is finished; all that are. At once where there are none."""
        return self._finished(numbers, (), lambda done: done)

    def _finished(self, numbers: array[int], waited: Tasks, finish: Callable[[set[int]], T]) -> Pending[T]:
        shell = self._shell

        def learn(outcome: WaitDone | Trouble | None) -> T:
            if isinstance(outcome, Trouble):
                raise self._failed(outcome, waited)
            done = array("I") if outcome is None else unpack("I", outcome.finished, "finished")
            states = self._graph.task_states
            for number in done:
                states[number] = FINISHED
            return finish(set(done))

        if not numbers:
            return Pending(None, learn)
        future = shell.ask(lambda request: Wait(request, self._number, column(numbers), some=True))
        return Pending(future, learn, look=self._look)

    def wait_all(self) -> Pending[None]:
        """Waits for everything that was submitted."""
        until = len(self._graph.task_states)
        if not until:
            return Pending(None, lambda outcome: None)
        shell = self._shell

        async def steps(ask: Asking) -> tuple[Reply | Trouble, array[int], Reply | Trouble | None]:
            outcome = await ask(lambda request: Wait(request, self._number, all_tasks=True))
            if not self._mixed_ends:
                return outcome, array("I"), None
            open_ones = self._graph.task_states[:until].translate(_IS_OPEN)
            unknown = array("I", compress(range(until), open_ones))
            return outcome, unknown, await ask(lambda request: self._query_states(request, unknown))

        def finish(outcomes: tuple[Reply | Trouble, array[int], Reply | Trouble | None]) -> None:
            outcome, unknown, news = outcomes
            if isinstance(news, TaskNews):
                self._learn_states(unknown, news)
            if isinstance(outcome, Trouble):
                raise self._failed(outcome, ())
            if not self._mixed_ends:
                self._mark_all(until)

        return Pending(shell.run(steps), finish, look=self._look)

    def fetch(self, objects: Objects) -> Pending[list[Any]]:
        """Gets these objects, of an array a list. Raises RainException at once for those that can never be had."""
        self._check_fetchable(objects)
        remote = number_column([obj for obj in objects if isinstance(obj, ObjectArray) or not obj._is_here])

        def finish(outcome: Any) -> list[Any]:
            if isinstance(outcome, Trouble):
                raise self._failed(outcome, ())
            instances = list(fetched_values(objects, outcome or FetchedData([], {})))
            self._mark_finished((), objects)
            return instances

        if not remote:
            return Pending(None, finish)
        return Pending(self._shell.fetch(self._number, remote), finish, look=self._look)

    def update(self, tasks: Tasks, objects: Objects) -> Pending[None]:
        """Asks for the present state of these; of arrays nothing more than that."""
        shell = self._shell
        handles = [task for task in tasks if isinstance(task, Task)]
        handle_numbers = number_column(handles)
        array_numbers = number_column([task for task in tasks if isinstance(task, TaskArray)])
        object_numbers = number_column(objects)

        async def steps(ask: Asking) -> list[Reply | Trouble]:
            outcomes = []
            if handles:
                outcomes.append(await ask(lambda request: QueryTasks(request, self._number, column(handle_numbers))))
            if array_numbers:
                outcomes.append(await ask(lambda request: self._query_states(request, array_numbers)))
            if object_numbers:
                outcomes.append(await ask(lambda request: QueryObjects(request, self._number, column(object_numbers))))
            return outcomes

        def finish(outcomes: list[Reply | Trouble]) -> None:
            for outcome in outcomes:
                if isinstance(outcome, Trouble):
                    raise self._failed(outcome, tasks)
                if isinstance(outcome, TaskNews) and outcome.states:
                    self._learn_states(array_numbers, outcome)
                elif isinstance(outcome, TaskNews):
                    self._learn_tasks(handle_numbers, outcome.tasks)
                    for task, news in zip(handles, outcome.tasks, strict=True):
                        task._info = TaskRecord(news)
                elif isinstance(outcome, ObjectNews):
                    self._learn_objects(objects, object_numbers, outcome.objects)

        return Pending(shell.run(steps) if tasks or objects else None, lambda outcome: finish(outcome or []))

    def find_tasks(self, name: str) -> Pending[list[tuple[int, int]]]:
        """The submitted tasks of that name: their numbers and those of their first outputs."""

        def finish(outcome: TasksFound | Trouble | None) -> list[tuple[int, int]]:
            if isinstance(outcome, Trouble):
                raise self._failed(outcome, ())
            if outcome is None:
                return []
            tasks = unpack("I", outcome.tasks, "tasks")
            return list(zip(tasks, unpack("I", outcome.first_output, "first_output", len(tasks)), strict=True))

        if not self._graph.task_states:
            return Pending(None, finish)
        return Pending(self._shell.ask(lambda request: FindTasks(request, self._number, name)), finish)

    def mixed_ends(self) -> None:
        """Tasks may have ended otherwise than by finishing, without this client knowing which."""
        self._mixed_ends = True

    def unkeep(self, objects: Objects) -> None:
        """Takes marks away and tells the server."""
        tell = self._graph.unkeep(objects)
        if tell:
            self._shell.tell(Unkeep(self._number, column(tell)))

    def cancel(self, tasks: Tasks, objects: Objects) -> Pending[None]:
        """Stops these and what depends on them."""
        shell = self._shell
        numbers = awaited_tasks(tasks, objects)

        def finish(outcome: Reply | Trouble | None) -> None:
            if isinstance(outcome, Trouble):
                raise self._failed(outcome, tasks)

        if not numbers:
            return Pending(None, finish)
        self._mixed_ends = True
        return Pending(shell.ask(lambda request: CancelTasks(request, self._number, column(numbers))), finish)

    def close(self, limit_s: float) -> None:
        """Has the server end the session, where there is one that can be asked."""
        if self._connection is not None and self._connection.usable:
            Pending(
                self._connection.ask(lambda request: CloseSession(request, self._number)), lambda outcome: None
            ).result(limit_s)

    def _after_submit(self, order: Any) -> None:
        self._unkeep(self._graph.submitted(order))

    def _unkeep(self, unkept: Sequence[int]) -> None:
        if unkept:
            self._shell.tell(Unkeep(self._number, pack("I", unkept)))

    def _query_states(self, request: int, tasks: array[int]) -> QueryTasks:
        return QueryTasks(request, self._number, column(tasks), states_only=True)

    def _check_fetchable(self, objects: Objects) -> None:
        builder = self._graph.builder
        for obj in objects:
            if is_empty(obj):
                continue
            if not builder.is_submitted_object(obj._number):
                raise RainException(
                    f"{obj._described()} is not submitted, so it cannot be fetched: call `.keep()` and `submit()` first"
                )
            gone = builder.first_unkept(obj._numbers) if isinstance(obj, ObjectArray) else None
            if gone is not None and isinstance(obj, ObjectArray):
                raise RainException(gone_text(obj[gone]))
            if isinstance(obj, DataObject) and not builder.is_kept(obj._number):
                raise RainException(gone_text(obj))

    def _failed(self, trouble: Trouble, waited: Tasks) -> RainException:
        states = self._graph.task_states
        if trouble.task is not None and trouble.task < len(states):
            states[trouble.task] = CANCELLED if is_cancelled(trouble) else FAILED
        return self._session._exception(trouble, waited)

    def _mark_finished(self, tasks: Iterable[Task | TaskArray], objects: Iterable[DataObject | ObjectArray]) -> None:
        """The tasks and objects are finished, and so are the tasks of the objects."""
        graph = self._graph
        for task in tasks:
            if isinstance(task, TaskArray):
                mark(graph.task_states, task._numbers, FINISHED)
            else:
                graph.task_states[task._number] = FINISHED
        for obj in objects:
            if isinstance(obj, ObjectArray):
                mark(graph.object_states, obj._numbers, OBJECT_FINISHED)
                mark(graph.task_states, obj._task_numbers, FINISHED)
                continue
            graph.object_states[obj._number] = OBJECT_FINISHED
            if obj._task is not None:
                graph.task_states[obj._task._number] = FINISHED

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

    def _learn_states(self, numbers: array[int], news: TaskNews) -> None:
        states = self._graph.task_states
        # Ours begin with the one of what is not submitted.
        for number, state in zip(numbers, unpack("B", news.states, "states", len(numbers)), strict=True):
            states[number] = state + 1

    def _learn_objects(self, objects: Objects, numbers: array[int], news: Sequence[ObjectInfo]) -> None:
        states = self._graph.object_states
        for number, each in zip(numbers, news, strict=True):
            states[number] = OBJECT_STATE_NUMBERS.get(each.state) or states[number]
        each_news = iter(news)
        for obj in objects:
            if isinstance(obj, ObjectArray):
                next(islice(each_news, len(obj), len(obj)), None)
            else:
                obj._info = ObjectRecord.of(next(each_news))
