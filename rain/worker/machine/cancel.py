"""Tasks that shall not run, or not go on."""

from __future__ import annotations

from collections.abc import Iterable

from rain.worker.machine.executors import kill
from rain.worker.machine.outbox import TurnEffects
from rain.worker.machine.state import HeldSession, HeldTask, Lane, State
from rain.worker.machine.transitions import forget_task, leave_lane


def cancel_tasks(state: State, session: HeldSession, tasks: Iterable[HeldTask], outbox: TurnEffects) -> None:
    """Forgets the tasks; an executor that was given one is killed, and the others of its batch queue again after that.

    Which task of a batch runs is not known here, so the executor dies even where the cancelled one had not begun;
    batches are made of short tasks, long ones stand alone.
    """
    queued: dict[Lane, set[int]] = {}
    for task in tasks:
        if task.executor is not None:
            kill(state, task.executor, outbox)
        elif not task.missing:
            queued.setdefault(task.spec.lane, set()).add(task.order)
        forget_task(session, task, outbox)
    for lane, orders in queued.items():
        leave_lane(state, lane, orders)
