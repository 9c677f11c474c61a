"""A connection to a server, and the sessions that were opened over it."""

from __future__ import annotations

import functools
import os
import warnings
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rain.client.failures import exception_from
from rain.client.handles import Item, Items, listed
from rain.client.machine.effects import MarkSessionFailed, MarkUnrunnable, Reply, Trouble
from rain.client.options import is_number
from rain.client.pending import Pending
from rain.client.session import Session
from rain.client.task import Task
from rain.core.errors import RainException, RainWarning
from rain.core.ids import object_name, parse_task, parse_worker, session_name, task_name, worker_name
from rain.core.resources import UNIT, Offer
from rain.core.resources import Request as Needed
from rain.protocol.client import (
    AttachSession,
    DrainWorker,
    OpenSession,
    QueryServer,
    QueryWhy,
    ServerInfo,
    SessionAttached,
    SessionOpened,
    Shutdown,
    Why,
)
from rain.protocol.shown import Impossible, SessionInfo, WorkerInfo

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
        from rain.client.handshake import differences, own_versions
        from rain.client.shell import Shell

        #: By number; handles that the user let go are not kept.
        self._sessions: weakref.WeakValueDictionary[int, Session] = weakref.WeakValueDictionary()
        self._cluster: LocalCluster | None = None
        self._closed = False
        target = find_target(address, port, access)
        try:
            if target is None:
                from rain.deploy.local import LocalCluster

                self._cluster = LocalCluster()
                target = access_target(self._cluster.access_path)
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
        outcome = self._ask(lambda request: OpenSession(request, name, bool(fail_fast), ttl))
        assert isinstance(outcome, SessionOpened), "the server answers OpenSession with nothing else"
        session = Session(self, outcome.session, name=name, fail_fast=bool(fail_fast))
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
        outcome = self._ask(lambda request: AttachSession(request, name))
        assert isinstance(outcome, SessionAttached), "the server answers AttachSession with nothing else"
        session = Session(self, outcome.session, name=outcome.name, fail_fast=outcome.fail_fast)
        session._adopt(outcome)
        self._sessions[outcome.session] = session
        return session

    def sessions(self) -> list[dict[str, Any]]:
        """The sessions at the server: id, name, state, and how many tasks are in which state."""
        return [_session(info) for info in self._server_info().sessions]

    def get_server_info(self) -> dict[str, Any]:
        """The server's version and process, its workers with their tasks and objects, and its sessions.

        `tasks` and `objects` of a worker are ids, at most 10,000 of each; `n_tasks` and `n_objects` count all.
        `impossible`: ready tasks that no present worker could ever run. `log`: the log file, on that host.
        """
        info = self._server_info()
        return {
            "version": info.version,
            "host": info.host,
            "pid": info.pid,
            "log": info.log,
            "workers": [_worker(each) for each in info.workers],
            "sessions": [_session(each) for each in info.sessions],
            "impossible": [_impossible(each) for each in info.impossible],
        }

    def why(self, task: Task | str) -> list[str]:
        """Why a task is not done, or how it ended, in a few lines; of any session where named as "s1.t3"."""
        session, number = parse_task(task.id if isinstance(task, Task) else task)
        outcome = self._ask(lambda request: QueryWhy(request, session, number))
        assert isinstance(outcome, Why), "the server answers QueryWhy with nothing else"
        return list(outcome.lines)

    def drain(self, worker: str, wait: bool = True) -> None:
        """Has a worker such as "w2" leave without loss: what it was given is finished, what only it holds is copied.

        `wait`: returns when it has left. Raises RainException where no other worker could stand in for it.
        """
        number = parse_worker(worker)
        self._ask(lambda request: DrainWorker(request, number, wait), limit_s=None if wait else ANSWER_LIMIT_S)

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

    def _ask(self, make: Any, limit_s: float | None = ANSWER_LIMIT_S) -> Reply:
        outcome: Reply | Trouble = Pending(self._shell.ask(make), lambda found: found, "the server's answer").result(
            limit_s
        )
        if isinstance(outcome, Trouble):
            raise exception_from(outcome, 0)
        return outcome

    def _server_info(self) -> ServerInfo:
        def make(request: int) -> Request:
            return QueryServer(request)

        info = self._ask(make)
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


def _end(shell: Shell, cluster: LocalCluster | None) -> None:
    """What closing a client, letting it go, and the end of the program have in common."""
    shell.close()
    if cluster is not None:
        cluster.stop()


def _session(info: SessionInfo) -> dict[str, Any]:
    return {
        "session_id": session_name(info.session),
        "name": info.name,
        "state": info.state,
        "tasks": dict(info.tasks),
        "n_objects": info.n_objects,
        "impossible": info.impossible,
    }


def _worker(info: WorkerInfo) -> dict[str, Any]:
    return {
        "worker_id": worker_name(info.worker),
        "address": info.address,
        "host": info.host,
        "pid": info.pid,
        "resources": _resources(info.offer),
        "tasks": [task_name(session, task) for session, task in info.tasks],
        "objects": [object_name(session, obj) for session, obj in info.objects],
        "n_tasks": info.n_tasks,
        "n_objects": info.n_objects,
        "suspect": info.suspect,
        "log": info.log,
        "draining": info.draining,
    }


def _impossible(found: Impossible) -> dict[str, Any]:
    return {
        "session_id": session_name(found.session),
        "first_task": task_name(found.session, found.task),
        "n_tasks": found.n_tasks,
        "needed": _resources(found.needed),
    }


def _resources(offer: Offer | Needed) -> dict[str, float | int]:
    """What a worker offers or a task needs, as a user writes it."""
    found: dict[str, float | int] = {"cpus": _plain(offer.cpus)}
    if offer.gpus:
        found["gpus"] = _plain(offer.gpus)
    if offer.memory_bytes:
        found["memory"] = offer.memory_bytes
    found.update((name, _plain(amount)) for name, amount in offer.named)
    return found


def _plain(amount: int) -> float | int:
    return amount // UNIT if amount % UNIT == 0 else amount / UNIT
