"""The scope in which a graph grows and is submitted, any number of times."""

from __future__ import annotations

import contextlib
import warnings
from array import array
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

from rain.client.active import drop_default_session, pop_session, push_session, set_default_session
from rain.client.arrays import ObjectArray, TaskArray
from rain.client.blame import exception_for
from rain.client.building import SessionGraph
from rain.client.completion import InOrderOfCompletion
from rain.client.graph import AnyConstant
from rain.client.handles import Item, Items, check_submitted, computed, listed, split_items, to_objects
from rain.client.keeping import InHand, keep_objects
from rain.client.machine.effects import Trouble, trouble_of
from rain.client.named import NamedTasks
from rain.client.objects import DataObject
from rain.client.pending import FetchedObjects, Pending, check_timeout
from rain.client.requests import SessionRequests
from rain.client.task import Task
from rain.client.unrunnable import UnrunnableNotice
from rain.client.views import SessionViews
from rain.core.errors import RainException, RainWarning, SessionException
from rain.core.ids import session_name

if TYPE_CHECKING:
    from rain.client.attaching import AttachedGraph
    from rain.client.client import Client
    from rain.data.instance import DataInstance
    from rain.protocol.client import SessionAttached

#: The server has this long to say that a session is closed.
CLOSE_LIMIT_S = 5.0


class Session(SessionViews):
    """A graph and its work; made by `client.new_session()`.

    `with session:` makes it the active one and closes it at the end. `Session(None, 1)` has no server: graphs can be
    built, drawn and checked in it. `await session` waits for everything.
    """

    def __init__(
        self,
        client: Client | None,
        session_id: int,
        *,
        name: str | None = None,
        fail_fast: bool = True,
        ttl: float | None = None,
    ) -> None:
        if client is not None and not hasattr(client, "_shell"):
            raise RainException(
                f"Session(): expected a client or None, found {client!r}: `client.new_session()` opens a session, and "
                "`Session(None, 1)` is one without a server"
            )
        self._client = client
        self._session_id = session_id
        self._name = name
        self._fail_fast = fail_fast
        self._ttl = ttl
        self._graph = SessionGraph(session_id)
        self._unrunnable = UnrunnableNotice()
        self._named = NamedTasks(self)
        self._requests = SessionRequests(self, self._graph, client._shell if client is not None else None)
        #: Set by the I/O thread when the server says that the session failed.
        self._trouble: Trouble | None = None
        self._closed = False
        #: How many `with session:` are open.
        self._depth = 0

    # ------------------------------------------------------------------ what it is

    @property
    def client(self) -> Client | None:
        """The client that opened it; None without a server."""
        return self._client

    @property
    def session_id(self) -> int:
        """Its number at the server: 3 for session s3."""
        return self._session_id

    @property
    def name(self) -> str | None:
        """The label that it was given."""
        return self._name

    @property
    def fail_fast(self) -> bool:
        """Whether the first failed task fails the session."""
        return self._fail_fast

    @property
    def ttl(self) -> float | None:
        """Seconds that it outlives its client; None: it ends with the client."""
        return self._ttl

    @property
    def active(self) -> bool:
        """Whether it can be used: not closed and not failed."""
        return self.state == "open"

    @property
    def state(self) -> str:
        """ "open", "failed" or "closed"."""
        if self._closed:
            return "closed"
        return "open" if self._trouble is None else "failed"

    @property
    def tasks(self) -> NamedTasks:
        """Its tasks by name: `session.tasks["name"]`; asks the server for those that are submitted."""
        return self._named

    @property
    def task_count(self) -> int:
        """Tasks that are not submitted yet."""
        return self._graph.builder.n_tasks

    @property
    def dataobj_count(self) -> int:
        """Objects that are not submitted yet, constants included."""
        return self._graph.builder.n_objects

    def __repr__(self) -> str:
        label = f" '{self._name}'" if self._name else ""
        return (
            f"<Session {session_name(self._session_id)}{label}, {self.state}, "
            f"{self.task_count} tasks and {self.dataobj_count} objects not submitted>"
        )

    def __reduce__(self) -> Any:
        raise RainException(
            f"{self!r} cannot be pickled: a task cannot use it, and gets what it needs as arguments; "
            "another process attaches it, `client.attach(name)`"
        )

    # ------------------------------------------------------------------ being the active one

    def __enter__(self) -> Session:
        self._check_open("entered")
        with self._graph.lock:
            self._check_open("entered")
            self._depth += 1
        push_session(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pop_session(self)
        with self._graph.lock:
            is_outermost = self._depth == 1
            self._depth = max(0, self._depth - 1)
        if is_outermost:
            self._close(warn=kind is None)

    @contextmanager
    def bind_only(self) -> Iterator[Session]:
        """Makes it the active one and does not close it at the end."""
        self._check_open("entered")
        push_session(self)
        try:
            yield self
        finally:
            pop_session(self)

    def set_as_default(self) -> None:
        """Makes it the session of tasks that are made where none is active; there is one per process."""
        self._check_open("made the default")
        set_default_session(self)

    # ------------------------------------------------------------------ work

    def submit(self, timeout: float | None = None) -> None:
        """Sends what was built since the last submit, in all threads, all or nothing; does not wait for the work.

        What another thread built and had not kept yet can still be kept there, until that thread submits too.
        Only while more than 2,000,000 tasks or 1 GiB of arguments of this session are unfinished it waits, at most
        `timeout` seconds (TimeoutError; nothing was sent then).
        """
        self._check_open("submitted")
        self._raise_failure()
        self._requests.submit(timeout)

    def wait(self, items: Items, timeout: float | None = None) -> None:
        """Waits until all these tasks and objects are finished. Raises TaskException where one failed."""
        self._waiting(listed(items)).result(timeout)

    def wait_some(self, items: Items, timeout: float | None = None) -> tuple[list[Task], list[DataObject]]:
        """Waits until at least one is finished; returns the finished tasks and the finished objects among them."""
        tasks, objects = self._split(listed(items), "waited for")
        self._raise_failure()
        return self._requests.wait_some(tasks, objects).result(timeout)

    def wait_all(self, timeout: float | None = None) -> None:
        """Waits for everything that was submitted; returns at once if there is nothing."""
        self._waiting_all().result(timeout)

    def as_completed(self, items: Items, timeout: float | None = None) -> InOrderOfCompletion:
        """The tasks and objects, also those of arrays, in the order in which they finish; for `for` and `async for`.

        `timeout` is for each step.
        """
        all_items = listed(items)
        self._split(all_items, "waited for")
        left = list(dict.fromkeys(all_items))
        self._raise_failure()
        check_timeout(timeout)

        def follow(tasks: array[int], after: int) -> Pending[tuple[int, array[int]]]:
            self._check_open("waited for")
            self._raise_failure()
            return self._requests.follow(tasks, after)

        return InOrderOfCompletion(left, follow, self._requests.unfollow, timeout)

    @overload
    def fetch(
        self, items: DataObject | Task, *, failed_ok: bool = False, timeout: float | None = None
    ) -> DataInstance: ...
    @overload
    def fetch(self, items: Iterable[Item], *, failed_ok: bool = False, timeout: float | None = None) -> list[Any]: ...
    def fetch(self, items: Items, *, failed_ok: bool = False, timeout: float | None = None) -> DataInstance | list[Any]:
        """Waits for kept objects and returns their values, one for one or a list for several; for an array a list.

        `failed_ok`: what was finished before the session failed can be had all the same.
        """
        found = self._fetching(listed(items), failed_ok=failed_ok).all().result(timeout)
        return found[0] if isinstance(items, DataObject | Task | TaskArray | ObjectArray) else found

    def compute(self, *items: Item, timeout: float | None = None) -> Any:
        """Keeps these, submits, and fetches them: one value for one item, else a list in their order.

        The value of an array is a list. `compute([a, b])` is `compute(a, b)`; a list always gives one.
        """
        check_timeout(timeout)
        objects, is_alone = computed(items)
        self._keep([obj for obj in objects if not obj.is_kept()])
        self.submit(timeout)
        found = self.fetch(objects, timeout=timeout)
        return found[0] if is_alone else found

    def update(self, items: Items) -> None:
        """Refreshes `state` and `info` of tasks and objects."""
        tasks, objects = self._split(listed(items), "updated")
        self._raise_failure()
        self._requests.update(tasks, objects).result()

    def unkeep(self, items: Items) -> None:
        """Takes `keep()` back; what nobody needs is dropped everywhere. Objects that are not kept are fine."""
        objects = [to_objects(item) for item in listed(items)]
        self._check_own(objects)
        self._raise_failure()
        self._requests.unkeep(objects)

    def keep_all(self) -> None:
        """Keeps every object that is not submitted yet."""
        self._check_process()
        self._graph.keep_all()

    def cancel(self, items: Items) -> None:
        """Stops these and everything that depends on them, running programs included; finished ones stay finished.

        Waiting for a cancelled task raises TaskException; the session does not fail by it.
        """
        tasks, objects = self._split(listed(items), "cancelled")
        self._raise_failure()
        self._requests.cancel(tasks, objects).result()

    def close(self) -> None:
        """Stops its running tasks and drops its objects; repeatable. Warns when tasks were never submitted."""
        self._close(warn=True)

    def __await__(self) -> Generator[Any, None, None]:
        return self._waiting_all().__await__()

    # ------------------------------------------------------------------ for handles

    def _waiting(self, items: Sequence[Item]) -> Pending[None]:
        tasks, objects = self._split(items, "waited for")
        self._raise_failure()
        return self._requests.wait(tasks, objects)

    def _waiting_all(self) -> Pending[None]:
        self._check_open("waited for")
        self._raise_failure()
        return self._requests.wait_all()

    def _fetching(self, items: Sequence[Item], *, failed_ok: bool = False) -> FetchedObjects:
        objects = [to_objects(item) for item in items]
        self._check_open("fetched from")
        self._check_own(objects)
        if not failed_ok:
            self._raise_failure()
        return FetchedObjects(self._requests.fetch(objects))

    def _keep(self, objects: Sequence[DataObject | ObjectArray]) -> None:
        self._check_own(objects)
        keep_objects(self._graph, objects)

    def _hold_what_is_in_hand(self) -> None:
        """From now on the outputs of tasks stay while there are handles of the tasks, see `client.keeping`."""
        if self._graph.in_hand is None:
            self._graph.in_hand = InHand()

    def _let_go(self) -> None:
        """Has the server drop the objects of which the last handle is gone; to be called now and then."""
        if self.state == "open":
            self._requests.let_go()

    def _adopt(self, attached: SessionAttached, graph: AttachedGraph) -> None:
        """Goes on where another handle was left; nobody has this one yet."""
        self._graph.adopt(graph.specs, graph.spec, graph.flags)
        self._unrunnable.reason = attached.impossible
        if attached.failed is not None:
            self._trouble = trouble_of(attached.failed)
        # Which of its tasks were cancelled is not known here.
        self._requests.mixed_ends()

    def _client_closed(self) -> None:
        """The server ends the session with the connection."""
        self._closed = True
        drop_default_session(self)

    def _is_kept(self, number: int) -> bool:
        return self._graph.builder.is_kept(number)

    def _object_state(self, number: int) -> int:
        return self._graph.object_state(number)

    def _add_constant(self, constant: AnyConstant) -> DataObject:
        self._check_open("added to")
        [number] = self._graph.add_constants([constant])
        return DataObject(self, number, None, constant)

    # ------------------------------------------------------------------ checks

    def _check_process(self) -> None:
        if self._client is not None:
            self._client._shell.check_process()

    def _check_open(self, what: str) -> None:
        self._check_process()
        if self._closed:
            raise SessionException(
                f"session {session_name(self._session_id)} is closed and cannot be {what}: open another one with "
                "`client.new_session()`"
            )

    def _raise_failure(self) -> None:
        if self._trouble is not None:
            raise self._exception(self._trouble)

    def _exception(self, trouble: Trouble, waited: Sequence[Task | TaskArray] = ()) -> RainException:
        """The exception for what the server said, with what only the client knows of the task."""
        return exception_for(self, trouble, waited)

    def _check_own(self, items: Iterable[Item]) -> None:
        self._check_process()
        for item in items:
            if item._session is not self:
                raise RainException(
                    f"{item._described()} belongs to session {session_name(item._session.session_id)}, "
                    f"not to {session_name(self._session_id)}: call it there"
                )

    def _split(self, items: Sequence[Item], what: str) -> tuple[list[Task | TaskArray], list[DataObject | ObjectArray]]:
        """Tasks and objects among the items; all of this session and submitted. Raises RainException."""
        tasks, objects = split_items(items)
        self._check_open(what)
        self._check_own(items)
        check_submitted(self._graph, tasks, objects, what)
        return tasks, objects

    def _close(self, *, warn: bool) -> None:
        if self._closed:
            return
        self._closed = True
        drop_default_session(self)
        with contextlib.suppress(RainException, TimeoutError):
            self._requests.close(CLOSE_LIMIT_S)
        n_tasks = self.task_count
        if warn and n_tasks and self._client is not None and self._trouble is None:
            forgotten = "1 task" if n_tasks == 1 else f"{n_tasks} tasks"
            warnings.warn(
                f"session {session_name(self._session_id)} was closed with {forgotten} never submitted",
                RainWarning,
                stacklevel=3,
            )
