"""How tasks of a session ended badly: what of that their handles show, and the exception for whoever waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from rain.client.failures import exception_from, is_cancelled
from rain.client.handles import find_task
from rain.client.records import CANCELLED, FAILED, TaskRecord
from rain.client.task import Task
from rain.protocol.shown import TASK_STATE_NAMES

if TYPE_CHECKING:
    from rain.client.arrays import TaskArray
    from rain.client.building import SessionGraph
    from rain.client.machine.effects import Trouble
    from rain.client.session import Session
    from rain.core.errors import RainException

#: States as the server numbers them to states of `records`, which begin with that of what is not submitted.
_STATES = bytes(range(1, len(TASK_STATE_NAMES) + 1)).ljust(256)


def exception_for(session: Session, trouble: Trouble, waited: Sequence[Task | TaskArray]) -> RainException:
    """The exception for what the server said, with what only the client knows of the task.

    The task's handle, where there still is one, shows the same from then on.
    """
    number = trouble.task
    graph = session._graph
    _learn_states(graph, session._trouble)
    _learn_states(graph, trouble)
    if number is None or number >= len(graph.builder.specs):
        return exception_from(trouble, session._session_id)
    place = graph.places.text(graph.builder.places[number])
    spec = graph.spec_of(number)
    facts: dict[str, Any] = {"name": spec.name, "made_at": place, "request": spec.request}
    element = graph.element(number)
    task: Task | None = None
    if element is not None:
        index, count, block = element
        task = None if block is None else block.task(index, stays=True)
        facts["element"] = (index, count)
    else:
        handles = (task for task in waited if isinstance(task, Task) and task._number == number)
        task = next(handles, None) or find_task(session, number)
    if task is not None and trouble.info is not None:
        task._info = TaskRecord(replace(trouble.info, failure=trouble.failure))
    return exception_from(trouble, session._session_id, task=task, **facts)


def _learn_states(graph: SessionGraph, trouble: Trouble | None) -> None:
    if trouble is None:
        return
    with graph.lock:
        states = graph.task_states
        if trouble.states:
            # The session failed and nothing of it goes on, nor will what was submitted since.
            n_known = min(len(trouble.states), len(states))
            states[:n_known] = bytes(trouble.states[:n_known]).translate(_STATES)
            states[n_known:] = bytes([CANCELLED]) * (len(states) - n_known)
        if trouble.task is not None and trouble.task < len(states):
            states[trouble.task] = CANCELLED if is_cancelled(trouble) else FAILED
