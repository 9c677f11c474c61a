"""Stopping what was submitted since some moment, and saying what that was: for cells that are interrupted."""

from __future__ import annotations

from array import array
from collections import Counter
from itertools import compress
from typing import TYPE_CHECKING

from rain.client.machine.effects import Trouble
from rain.client.news import learn_states
from rain.client.records import CANCELLED, RUNNING, WAITING
from rain.core.errors import RainException
from rain.protocol.client import CancelTasks
from rain.protocol.columns import column
from rain.protocol.queries import QueryTasks, TaskNews

if TYPE_CHECKING:
    from rain.client.requests import Asking
    from rain.client.session import Session

#: Whether a task in that state can still be stopped.
_IS_OPEN = bytes(state in (WAITING, RUNNING) for state in range(256))


def n_submitted(session: Session) -> int:
    """How many tasks of the session were submitted so far."""
    return len(session._graph.task_states)


def open_tasks(session: Session, first: int, limit_s: float) -> array[int]:
    """Submitted tasks from this number on that are not done. Raises TimeoutError, RainException."""
    graph, requests, number = session._graph, session._requests, session._session_id
    tasks = array("I", range(first, len(graph.task_states)))

    async def steps(ask: Asking) -> TaskNews | Trouble:
        outcome = await ask(lambda request: QueryTasks(request, number, column(tasks), states_only=True))
        assert isinstance(outcome, TaskNews | Trouble), "the server answers QueryTasks with nothing else"
        return outcome

    if tasks:
        learn_states(graph, tasks, requests.read(steps).result(limit_s))
    return array("I", compress(tasks, graph.task_states[first:].translate(_IS_OPEN)))


def stop_tasks(session: Session, tasks: array[int], limit_s: float) -> array[int]:
    """Cancels these tasks; returns those that it stopped. Raises TimeoutError, RainException."""
    graph, requests, number = session._graph, session._requests, session._session_id
    requests.mixed_ends()

    async def steps(ask: Asking) -> TaskNews | Trouble:
        outcome = await ask(lambda request: CancelTasks(request, number, column(tasks)))
        if isinstance(outcome, Trouble):
            return outcome
        news = await ask(lambda request: QueryTasks(request, number, column(tasks), states_only=True))
        assert isinstance(news, TaskNews | Trouble), "the server answers QueryTasks with nothing else"
        return news

    learn_states(graph, tasks, requests.read(steps).result(limit_s))
    return array("I", [task for task in tasks if graph.task_states[task] == CANCELLED])


def described_tasks(session: Session, tasks: array[int], limit: int = 3) -> str:
    """How many of which names: "3 tasks (train ×2, score)"."""
    try:
        kinds = Counter(session._graph.name_of(task) or session._graph.spec_of(task).kind for task in tasks)
    except IndexError as error:
        raise RainException(f"{session!r} has no such tasks") from error
    named = [name if count == 1 else f"{name} ×{count}" for name, count in kinds.most_common(limit)]
    more = ["…"] if len(kinds) > limit else []
    return f"{len(tasks)} {'task' if len(tasks) == 1 else 'tasks'} ({', '.join(named + more)})"
