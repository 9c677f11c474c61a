"""What a session asks its server for; what the answers change at the client stands in `client.news`."""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from itertools import compress
from typing import TYPE_CHECKING, Any, TypeVar

from rain.client.along import AlongResults
from rain.client.arrays import ObjectArray, TaskArray
from rain.client.building import SessionGraph, gone_text
from rain.client.fetched import FetchedData, fetched_values
from rain.client.handles import is_empty
from rain.client.machine.effects import Reply, Trouble
from rain.client.machine.events import Request
from rain.client.news import learn_objects, learn_states, learn_tasks, mark_all, mark_finished
from rain.client.numbers import awaited_tasks, number_column
from rain.client.objects import DataObject
from rain.client.pending import Pending, check_timeout
from rain.client.records import FINISHED, RUNNING, WAITING, TaskRecord
from rain.client.submission import check_on_disk, parts, streamed_uploads, uploads
from rain.client.task import Task
from rain.core.errors import RainException
from rain.core.ids import session_name
from rain.protocol.client import CancelTasks, CloseSession, Unkeep, Unwait, Wait, WaitDone
from rain.protocol.codec import encode
from rain.protocol.columns import column, pack, unpack
from rain.protocol.queries import ObjectNews, QueryObjects, QueryTasks, TaskNews

if TYPE_CHECKING:
    from rain.client.session import Session
    from rain.client.shell import Shell

T = TypeVar("T")
Tasks = Sequence[Task | TaskArray]
Objects = Sequence[DataObject | ObjectArray]
Asking = Callable[[Callable[[int], Request]], Awaitable[Reply | Trouble]]
#: Whether a task in that state can still end.
_IS_OPEN = bytes(state in (WAITING, RUNNING) for state in range(256))


class SessionRequests:
    """The conversation of one session with the server; every method checks first and then returns what is pending."""

    def __init__(self, session: Session, graph: SessionGraph, shell: Shell | None) -> None:
        self._session = session
        self._graph = graph
        self._connection = shell
        self._number = session._session_id
        self._along = AlongResults()
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

        def then(outcome: Reply | Trouble) -> Future[Reply | Trouble] | None:
            if not isinstance(outcome, Trouble) or outcome.session_failed or outcome.server_gone:
                return None
            # How the others stand is news, too: all of them may have been cancelled.
            return shell.ask(lambda request: self._query_states(request, numbers))

        def finish(outcomes: tuple[Reply | Trouble, Reply | Trouble | None] | None) -> None:
            outcome, news = outcomes or (None, None)
            if isinstance(news, TaskNews):
                learn_states(self._graph, numbers, news)
            if isinstance(outcome, Trouble):
                raise self._failed(outcome, tasks)
            if isinstance(outcome, WaitDone):
                self._along.learn(outcome)
            mark_finished(self._graph, tasks, objects)

        if not numbers:
            return Pending(None, finish)
        asked = shell.ask_on(lambda request: Wait(request, self._number, column(numbers)), then)
        return Pending(asked, finish, look=self._look, round_trip=self._round_trip)

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
            mark_finished(self._graph, some_tasks, some_objects)
            return some_tasks, some_objects

        return self._finished(numbers[:0] if has_constant else numbers, tasks, finish)

    def follow(self, numbers: array[int], after: int) -> Pending[tuple[int, array[int]]]:
        """Waits until at least one of these tasks is finished, or of those that an earlier call left.

        The result is the number of this wait, for the next call, and the tasks that finished.
        """
        asked = array("Q")

        def make(request: int) -> Wait:
            asked.append(request)
            return Wait(request, self._number, column(numbers), some=True, stays=True, after=after)

        def learn(outcome: WaitDone | Trouble) -> tuple[int, array[int]]:
            return asked[0], self._learn_done(outcome, ())

        return Pending(self._shell.ask(make), learn, look=self._look, round_trip=self._round_trip)

    def unfollow(self, number: int) -> None:
        """Nobody will ask for what this call of `follow` left."""
        if self._shell.usable:
            self._shell.tell(Unwait(number))

    def _finished(self, numbers: array[int], waited: Tasks, finish: Callable[[set[int]], T]) -> Pending[T]:
        shell = self._shell

        def learn(outcome: WaitDone | Trouble | None) -> T:
            return finish(set(self._learn_done(outcome, waited)))

        if not numbers:
            return Pending(None, learn)
        future = shell.ask(lambda request: Wait(request, self._number, column(numbers), some=True))
        return Pending(future, learn, look=self._look, round_trip=self._round_trip)

    def _round_trip(self) -> Future[Any]:
        """Something that is answered at once, after what was asked before."""
        return self._shell.ask(lambda request: self._query_states(request, array("I")))

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
                learn_states(self._graph, unknown, news)
            if isinstance(outcome, Trouble):
                raise self._failed(outcome, ())
            if not self._mixed_ends:
                mark_all(self._graph, until)

        return Pending(shell.run(steps), finish, look=self._look, round_trip=self._round_trip)

    def fetch(self, objects: Objects) -> Pending[list[Any]]:
        """Gets these objects, of an array a list. Raises RainException at once for those that can never be had."""
        self._check_fetchable(objects)
        remote = number_column([obj for obj in objects if isinstance(obj, ObjectArray) or not obj._is_here])

        def finish(found: FetchedData | Trouble) -> list[Any]:
            if isinstance(found, Trouble):
                raise self._failed(found, ())
            instances = list(fetched_values(objects, found))
            mark_finished(self._graph, (), objects)
            return instances

        if not remote:
            return Pending(None, lambda _: finish(FetchedData([], {})))
        along = self._along.get(remote) if self._shell.usable else None
        if along is not None:
            return Pending(None, lambda _: finish(along))
        from rain.client.fetching import fetched

        outcome = self._shell.fetch(self._number, remote)
        return Pending(
            outcome, lambda outcome: finish(fetched(remote, outcome)), look=self._look, round_trip=self._round_trip
        )

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
                    learn_states(self._graph, array_numbers, outcome)
                elif isinstance(outcome, TaskNews):
                    learn_tasks(self._graph, handle_numbers, outcome.tasks)
                    for task, news in zip(handles, outcome.tasks, strict=True):
                        task._info = TaskRecord(news)
                elif isinstance(outcome, ObjectNews):
                    learn_objects(self._graph, objects, object_numbers, outcome.objects)

        return Pending(shell.run(steps) if tasks or objects else None, lambda outcome: finish(outcome or []))

    def read(self, steps: Callable[[Asking], Coroutine[Any, Any, T | Trouble]]) -> Pending[T]:
        """What several requests find out."""

        def finish(outcome: T | Trouble) -> T:
            if isinstance(outcome, Trouble):
                raise self._failed(outcome, ())
            return outcome

        return Pending(self._shell.run(steps), finish)

    def mixed_ends(self) -> None:
        """Tasks may have ended otherwise than by finishing, without this client knowing which."""
        self._mixed_ends = True

    def unkeep(self, objects: Objects) -> None:
        """Takes marks away and tells the server."""
        tell = self._graph.unkeep(objects)
        if tell:
            self._along.forget(tell)
            self._shell.tell(Unkeep(self._number, column(tell)))

    def let_go(self) -> None:
        """Tells the server what nobody has in hand any more."""
        dropped = self._graph.let_go()
        if dropped and self._shell.usable:
            self._along.forget(dropped)
            self._unkeep(dropped)

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
            if isinstance(obj, DataObject) and not builder.is_fetchable(obj._number):
                raise RainException(gone_text(obj))

    def _failed(self, trouble: Trouble, waited: Tasks) -> RainException:
        return self._session._exception(trouble, waited)

    def _learn_done(self, outcome: WaitDone | Trouble | None, waited: Tasks) -> array[int]:
        if isinstance(outcome, Trouble):
            raise self._failed(outcome, waited)
        if outcome is None:
            return array("I")
        self._along.learn(outcome)
        done = unpack("I", outcome.finished, "finished")
        for number in done:
            self._graph.task_states[number] = FINISHED
        return done
