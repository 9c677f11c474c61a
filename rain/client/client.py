"""A connection to a server, and the sessions that were opened over it."""

from __future__ import annotations

import functools
import os
import warnings
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rain.client.attaching import attach
from rain.client.facts import WorkerFacts, server_facts, session_facts, worker_facts
from rain.client.failures import exception_from
from rain.client.handles import Item, Items, listed
from rain.client.machine.effects import MarkSessionFailed, MarkUnrunnable, Reply, Trouble
from rain.client.objects import DataObject
from rain.client.options import is_number
from rain.client.pending import Pending
from rain.client.session import Session
from rain.client.task import Task
from rain.core.errors import RainException, RainWarning
from rain.core.ids import NONE, parse_anything, parse_worker
from rain.protocol.client import (
    DrainWorker,
    OpenSession,
    SessionOpened,
    Shutdown,
)
from rain.protocol.queries import QueryServer, QueryWhy, ServerInfo, Why

if TYPE_CHECKING:
    from rain.client.machine.events import Request
    from rain.client.shell import Shell
    from rain.deploy.local import LocalCluster

#: What has no time limit of its own is answered within this, or the server is as good as gone.
ANSWER_LIMIT_S = 60.0


class Client:
    """Connects to a server, or raises RainException within seconds.

    `Client("host")` (port 7210), `Client("host", port)`, `Client("host:port")`; `Client()`: the one cluster of this
    user that runs here, else one that is started now and ends with the client. Keys are found; `access=` names
    their file. Threads may share a client. `with Client(…) as client` closes it at the end.
    """

    def __init__(
        self,
        address: str | None = None,
        port: int | None = None,
        *,
        access: str | os.PathLike[str] | None = None,
    ) -> None:
        from rain.client.connect import access_target, find_target

        #: By number; handles that the user let go are not kept.
        self._sessions: weakref.WeakValueDictionary[int, Session] = weakref.WeakValueDictionary()
        self._cluster: LocalCluster | None = None
        self._closed = False
        target = find_target(address, port, access)
        try:
            if target is None:
                from rain.deploy.local import LocalCluster

                self._cluster = LocalCluster(meanwhile=_load_connection)
                target = access_target(self._cluster.access_path)
            from rain.client.handshake import differences, own_versions
            from rain.client.shell import Shell

            # The connection must not hold the client, or a client that is let go would never end.
            self._shell = Shell(target, functools.partial(_mark, self._sessions))
        except BaseException:
            if self._cluster is not None:
                self._cluster.stop()
            raise
        self._end = weakref.finalize(self, _end, self._shell, self._cluster)
        table = differences(own_versions(), self._shell.welcome.versions)
        if table:
            warnings.warn(
                f"this client and the server at {target} differ, functions may not load on the workers:\n{table}",
                RainWarning,
                stacklevel=2,
            )

    @property
    def address(self) -> str:
        """The server's "host:port"."""
        return str(self._shell.target)

    def new_session(
        self, name: str | None = None, default: bool = False, fail_fast: bool = True, ttl: float | None = None
    ) -> Session:
        """Opens a session. `default`: it also becomes the default session of the process.

        `fail_fast`: the first failed task fails the session. `ttl`: seconds that it outlives this client.
        """
        if name is not None and not isinstance(name, str):
            raise RainException(f"name: expected a text or None, found {name!r}")
        if ttl is not None and not (is_number(ttl) and ttl > 0):
            raise RainException(f"ttl: expected seconds above 0 or None, found {ttl!r}")
        if ttl is not None:
            self._shell.outlived = True
        outcome = self._ask(lambda request: OpenSession(request, name, bool(fail_fast), ttl))
        assert isinstance(outcome, SessionOpened), "the server answers OpenSession with nothing else"
        session = Session(self, outcome.session, name=name, fail_fast=bool(fail_fast), ttl=ttl)
        self._sessions[outcome.session] = session
        if default:
            session.set_as_default()
        return session

    def attach(self, name: str) -> Session:
        """Goes on with a session that outlived its client (`ttl`), by its name or as "s3".

        `session.tasks["name"]` finds its tasks, kept objects can be fetched, and more can be submitted. Raises
        RainException where there is none, or its client is still connected.
        """
        _check_name(name)
        self._shell.outlived = True
        steps = self._shell.run(lambda ask: attach(ask, name, self._sessions.__contains__))
        outcome = Pending(steps, lambda found: found, "the server's answer").result()
        if isinstance(outcome, Trouble):
            raise exception_from(outcome, 0)
        attached, graph = outcome
        open_here = self._sessions.get(attached.session)
        if open_here is not None:
            return open_here
        if graph is None:
            # The handle went while the server was asked.
            return self.attach(name)
        session = Session(self, attached.session, name=attached.name, fail_fast=attached.fail_fast, ttl=attached.ttl_s)
        session._adopt(attached, graph)
        self._sessions[attached.session] = session
        return session

    def sessions(self) -> list[dict[str, Any]]:
        """The sessions at the server: id, name, state, and how many tasks are in which state."""
        return [session_facts(info) for info in self._server_info().sessions]

    def get_server_info(self) -> dict[str, Any]:
        """The server's version and process, its workers with their tasks and objects, and its sessions.

        `tasks` of a worker: given to it and not done; `objects`: it holds them, fetches them or is making them. These
        are ids, at most 10,000 of each; `n_tasks` and `n_objects` count all.
        `impossible`: ready tasks that no present worker could ever run. `log`: the log file, on that host.
        """
        return server_facts(self._server_info())

    def why(self, task: Task | DataObject | str | None = None) -> list[str]:
        """Why a task is not done, or how it ended, in a few lines; of any session where named as "s1.t3".

        Of an object ("s1.o3"): why the task that makes it is not. Of a session ("s1"), or without anything: of each
        task that is not done a line, the first ones of each session.
        """
        name = task.id if isinstance(task, Task | DataObject) else task
        session, number, obj = (NONE, NONE, NONE) if name is None else parse_anything(name)
        outcome = self._ask(lambda request: QueryWhy(request, session, number, obj))
        assert isinstance(outcome, Why), "the server answers QueryWhy with nothing else"
        return list(outcome.lines)

    def drain(self, worker: str, wait: bool = True) -> None:
        """Has a worker such as "w2" leave without loss: what it was given is finished, what only it holds is copied.

        `wait`: returns when it has left. Raises RainException where no other worker could stand in for it.
        """
        number, waits = parse_worker(worker), bool(wait)
        self._ask(lambda request: DrainWorker(request, number, waits), limit_s=None if waits else ANSWER_LIMIT_S)

    def update(self, items: Items) -> None:
        """Refreshes `state` and `info` of tasks and objects, of one session or of several."""
        by_session: dict[Session, list[Item]] = {}
        for item in listed(items):
            session = getattr(item, "_session", None)
            if not isinstance(session, Session):
                raise RainException(f"expected tasks and data objects, found {type(item).__name__}: {item!r}")
            if session.client is not self:
                raise RainException(f"{item!r} belongs to a session of another client: call update() there")
            by_session.setdefault(session, []).append(item)
        for session, its_items in by_session.items():
            session.update(its_items)

    def shutdown(self) -> None:
        """Ends the server and all its workers, for every client of it; then this client is closed."""
        self._ask(Shutdown)
        self.close()

    def close(self) -> None:
        """Ends the connection, its sessions unless they have a `ttl`, and a cluster that it started; repeatable."""
        if self._closed:
            return
        self._closed = True
        for session in list(self._sessions.values()):
            session._client_closed()
        self._end()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else ("connected" if self._shell.lost_reason is None else "connection lost")
        return f"<Client of {self.address}, {state}>"

    def _repr_html_(self) -> str | None:
        from rain.client.reprs import client_html

        return client_html(self)

    def __reduce__(self) -> Any:
        raise RainException(
            f"{self!r} cannot be pickled: a connection belongs to its process; another one makes its own `Client(…)`"
        )

    def _ask(self, make: Any, limit_s: float | None = ANSWER_LIMIT_S) -> Reply:
        outcome: Reply | Trouble = Pending(self._shell.ask(make), lambda found: found, "the server's answer").result(
            limit_s
        )
        if isinstance(outcome, Trouble):
            raise exception_from(outcome, 0)
        return outcome

    def _workers(self, limit_s: float) -> list[WorkerFacts]:
        return [worker_facts(each) for each in self._server_info(limit_s).workers]

    def _server_info(self, limit_s: float = ANSWER_LIMIT_S) -> ServerInfo:
        def make(request: int) -> Request:
            return QueryServer(request)

        info = self._ask(make, limit_s)
        assert isinstance(info, ServerInfo), "the server answers QueryServer with nothing else"
        return info


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise RainException(f"attach: expected the name of a session, found {name!r}")


def _mark(sessions: weakref.WeakValueDictionary[int, Session], news: MarkSessionFailed | MarkUnrunnable) -> None:
    """Called in the I/O thread."""
    session = sessions.get(news.session)
    if session is None:
        return
    if isinstance(news, MarkSessionFailed):
        session._trouble = news.trouble
    else:
        session._unrunnable.reason = news.reason


def _load_connection() -> None:
    """Loads what the connection to a cluster takes, while that starts."""
    from rain.client.handshake import own_versions  # noqa: F401
    from rain.client.shell import Shell  # noqa: F401


def _end(shell: Shell, cluster: LocalCluster | None) -> None:
    """What closing a client, letting it go, and the end of the program have in common."""
    try:
        shell.close()
    finally:
        if cluster is not None:
            cluster.stop()
