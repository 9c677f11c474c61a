"""What the server said, other than tasks to compute (see `compute`)."""

from __future__ import annotations

from rain.protocol.columns import unpack
from rain.protocol.worker import Cancel, Drop
from rain.worker.machine.cancel import cancel_tasks
from rain.worker.machine.effects import CloseSessionStore
from rain.worker.machine.executors import kill
from rain.worker.machine.outbox import TurnEffects
from rain.worker.machine.state import Stage, State
from rain.worker.machine.transitions import close_lane, remove_object


def drop(state: State, message: Drop, outbox: TurnEffects) -> None:
    """Objects leave the store; those on their way when they arrive, those that a task here needs when it has ended.

    Outputs of tasks that are not done are not meant: the server judges them when they are reported.
    """
    session = state.sessions.get(message.session)
    if session is None:
        return
    for obj in unpack("I", message.objects, "objects"):
        if obj in session.needed and (obj in session.present or obj in session.fetching):
            session.doomed.add(obj)
            continue
        remove_object(session, obj, outbox)
        if obj in session.fetching:
            session.doomed.add(obj)


def cancel(state: State, message: Cancel, outbox: TurnEffects) -> None:
    """Stops these attempts; those that are not here are ignored."""
    session = state.sessions.get(message.session)
    if session is None:
        return
    tasks = unpack("I", message.task, "task")
    attempts = unpack("I", message.attempt, "attempt", len(tasks))
    found = {}
    for number, attempt in zip(tasks, attempts, strict=True):
        task = session.tasks.get(number)
        if task is not None and task.queued.attempt == attempt:
            found[number] = task
    cancel_tasks(state, session, found.values(), outbox)


def end_session(state: State, number: int, outbox: TurnEffects) -> None:
    """Everything of the session goes; executors that run a task of it are killed."""
    session = state.sessions.pop(number, None)
    if session is None:
        return
    for lane in session.lanes.values():
        lane.heap.clear()
        close_lane(state, lane)
    knowing = []
    for executor in state.executors.values():
        if any(batch.session == number for batch in executor.batches):
            kill(state, executor, outbox)
        elif executor.known.pop(number, None) is not None and executor.stage is Stage.READY:
            knowing.append(executor.number)
    outbox.forget_session(number)
    outbox.order(CloseSessionStore(number, tuple(knowing)))
    state.forget_unused_classes()
