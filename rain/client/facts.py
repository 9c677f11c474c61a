"""What a server tells of itself and its workers: dicts, which a notebook shows as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rain.core.ids import object_name, session_name, task_name, worker_name
from rain.core.markup import Markup, bold, card, joined, quiet, size_text, table
from rain.core.resources import UNIT, Offer, Request
from rain.protocol.queries import ServerInfo
from rain.protocol.shown import Impossible, SessionInfo, WorkerInfo


class WorkerFacts(dict[str, Any]):
    """One worker."""

    def _repr_html_(self) -> str:
        return workers_table([self])


class ServerFacts(dict[str, Any]):
    """A server with its workers and sessions."""

    def _repr_html_(self) -> str:
        where = joined(bold("Rain server "), str(self["version"]), quiet(f" on {self['host']}, process {self['pid']}"))
        impossible = [
            f"{found['n_tasks']:,} ready tasks need {resources_text(found['needed'])}, which no worker has"
            for found in self["impossible"]
        ]
        return card(where, workers_table(self["workers"]), sessions_table(self["sessions"]), *impossible)


def workers_table(workers: Iterable[Mapping[str, Any]]) -> Markup:
    """One line per worker."""
    rows = [
        (
            str(each["worker_id"]),
            f"{each['host']} ({each['address']})",
            resources_text(each["resources"]),
            f"{each['n_tasks']:,}",
            f"{each['n_objects']:,}",
            "does not answer" if each["suspect"] else ("leaving" if each["draining"] else ""),
        )
        for each in workers
    ]
    if not rows:
        return Markup("<i>no workers</i>")
    return table(("worker", "host", "resources", "tasks", "objects", ""), rows)


def sessions_table(sessions: Iterable[Mapping[str, Any]]) -> Markup:
    """One line per session."""
    rows = [
        (
            str(each["session_id"]),
            str(each["name"] or ""),
            str(each["state"]),
            ", ".join(f"{count:,} {state}" for state, count in each["tasks"].items() if count),
        )
        for each in sessions
    ]
    return table(("session", "name", "state", "tasks"), rows) if rows else Markup("")


def resources_text(resources: Mapping[str, Any]) -> str:
    """Resources as people read them: "2 cpus, memory 4 GiB"."""
    parts = []
    for name, amount in resources.items():
        if name == "memory":
            parts.append(f"memory {size_text(amount)}")
        else:
            parts.append(f"{amount:g} {name[:-1] if amount == 1 and name in ('cpus', 'gpus') else name}")
    return ", ".join(parts)


def server_facts(info: ServerInfo) -> ServerFacts:
    """What `client.get_server_info()` tells."""
    return ServerFacts(
        version=info.version,
        host=info.host,
        pid=info.pid,
        log=info.log,
        workers=[worker_facts(each) for each in info.workers],
        sessions=[session_facts(each) for each in info.sessions],
        impossible=[_impossible(each) for each in info.impossible],
    )


def session_facts(info: SessionInfo) -> dict[str, Any]:
    """One session as `client.sessions()` tells it."""
    return {
        "session_id": session_name(info.session),
        "name": info.name,
        "state": info.state,
        "ttl": info.ttl_s,
        "tasks": dict(info.tasks),
        "n_objects": info.n_objects,
        "impossible": info.impossible,
        "progress": {task_name(info.session, task): said for task, said in info.progress},
    }


def worker_facts(info: WorkerInfo) -> WorkerFacts:
    """One worker as `client.get_server_info()` tells it."""
    return WorkerFacts(
        {
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
    )


def _impossible(found: Impossible) -> dict[str, Any]:
    return {
        "session_id": session_name(found.session),
        "first_task": task_name(found.session, found.task),
        "n_tasks": found.n_tasks,
        "needed": _resources(found.needed),
    }


def _resources(offer: Offer | Request) -> dict[str, float | int]:
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
