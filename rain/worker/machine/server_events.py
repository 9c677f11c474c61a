"""What the server said, other than tasks to compute (see `compute`)."""

from __future__ import annotations

from rain.protocol.columns import unpack
from rain.protocol.worker import Cancel, Drop
from rain.worker.machine.cancel import cancel_tasks
from rain.worker.machine.effects import CloseSessionStore
from rain.worker.machine.executors import kill
from rain.worker.machine.numbers import among, neighbours
from rain.worker.machine.outbox import TurnEffects
from rain.worker.machine.state import HeldSession, Stage, State
from rain.worker.machine.transitions import close_lane, remove_object


def drop(state: State, message: Drop, outbox: TurnEffects) -> None:
    """Objects leave the store; those on their way when they arrive, those that a task here needs when it has ended.

    Outputs of tasks that are not done are not meant: the server judges them when they are reported.
    """
    session = state.sessions.get(message.session)
    if session is None:
        return
    for first, count in neighbours(unpack("I", message.objects, "objects")):
        if count > 1 and _is_plain(session, first, count):
            session.present.discard(first, count)
            outbox.discard(session.number, first, count)
            continue
        for obj in range(first, first + count):
            _drop(session, obj, outbox)


def _is_plain(session: HeldSession, first: int, count: int) -> bool:
    """All these objects are just here, and nobody has to do with them."""
    return (
        session.present.has_all(first, count)
        and not session.making.any_of(first, count)
        and not among(session.needed, first, count)
        and not among(session.fetching, first, count)
    )


def _drop(session: HeldSession, obj: int, outbox: TurnEffects) -> None:
    if obj in session.needed and (obj in session.present or obj in session.fetching):
        session.doomed.add(obj)
        return
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
    found = set()
    for number, attempt in zip(tasks, attempts, strict=True):
        run = session.tasks.get(number)
        if run is not None and run.attempt == attempt:
            found.add(number)
    cancel_tasks(state, session, found, outbox)


def end_session(state: State, number: int, outbox: TurnEffects) -> None:
    """Everything of the session goes; executors that run a task of it are killed."""
    session = state.sessions.pop(number, None)
    if session is None:
        return
    for lane in session.lanes.values():
        lane.heap.clear()
        lane.n_ready = 0
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
