"""Data that was lost is made again: exactly the tasks whose results are needed and exist nowhere, and no others."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from rain.core.ids import NONE
from rain.server.machine.attempts import results_lost
from rain.server.machine.refusals import forgive
from rain.server.machine.stages import ASSIGNED, FINISHED
from rain.server.machine.state import ServerSession, ServerState
from rain.server.machine.tables import AVAILABLE, KEPT, STASHED
from rain.server.machine.transitions import (
    assigned_readers,
    cancel_followers,
    culprit_of,
    make_unavailable,
    put_back,
    remove_holder,
    stop_with_readers,
    take_back,
)


def worker_lost(state: ServerState, worker: int) -> None:
    """A worker that is not in `state.workers` any more took its tasks and its data with it."""
    for session in state.sessions.values():
        forgive(session, worker)
        _requeue_tasks(session, worker)
        lost = _forget_holder(state, session, worker)
        if lost:
            make_again(state, session, lost)
        state.touched.add(session.number)


def _requeue_tasks(session: ServerSession, worker: int) -> None:
    tasks = session.tasks
    task = tasks.stage.find(ASSIGNED)
    while task >= 0:
        if tasks.worker[task] == worker:
            tasks.attempt[task] += 1
            put_back(session, task)
        task = tasks.stage.find(ASSIGNED, task + 1)


def _forget_holder(state: ServerState, session: ServerSession, worker: int) -> list[int]:
    """Removes the worker as a holder; returns the objects that exist nowhere now."""
    objects = session.objects
    for obj in [obj for obj, others in objects.replicas.items() if worker in others]:
        objects.remove_holder(obj, worker)
    lost = []
    for obj in positions(objects.holder, worker):
        objects.remove_holder(obj, worker)
        if objects.holder[obj] == NONE and not objects.flags[obj] & STASHED:
            lost.append(obj)
    return lost


def positions(values: array[int], wanted: int) -> list[int]:
    """Where a number stands in a column."""
    if not values.count(wanted):
        return []
    return [position for position, value in enumerate(values) if value == wanted]


def distrust(state: ServerState, session: ServerSession, obj: int, holder: int) -> None:
    """A worker that was thought to hold the object could not give it: it is not counted on any more.

    In case it does hold it, it is told to drop it, after the tasks there that rely on it were taken back.
    """
    if not session.objects.is_held_by(obj, holder):
        return
    for reader in assigned_readers(session, obj, holder):
        if session.tasks.stage[reader] == ASSIGNED:
            take_back(state, session, reader)
            cancel_followers(state, session, reader)
    remove_holder(state, session, obj, holder)
    producer = session.objects.producer[obj]
    if producer != NONE and session.tasks.stage[producer] == ASSIGNED and session.tasks.worker[producer] == holder:
        # It makes the object anew; a drop could meet the new one, whose report is under way.
        session.ignored_results.add((holder, producer))
    else:
        state.outbox.drop(holder, session.number, obj)
    if session.objects.holder[obj] == NONE and not session.objects.flags[obj] & STASHED:
        make_again(state, session, [obj])


def make_again(state: ServerState, session: ServerSession, lost: Iterable[int]) -> None:
    """Objects that exist nowhere are not available; those that are needed, and what that takes, are computed again.

    What would take a task that failed or was cancelled when it was made again itself, is cancelled.
    """
    objects, tasks = session.objects, session.tasks
    todo = []
    for obj in lost:
        if not objects.flags[obj] & AVAILABLE:
            continue
        make_unavailable(session, obj)
        if objects.need[obj] or objects.flags[obj] & KEPT:
            todo.append(objects.producer[obj])
    if session.failed_reason is not None:
        return
    doomed: dict[int, int] = {}
    while todo:
        task = todo.pop()
        if tasks.stage[task] != FINISHED:
            continue
        session.unfinished += 1
        results_lost(session, task)
        tasks.attempt[task] += 1
        missing = 0
        for obj in tasks.inputs_of(task):
            objects.need[obj] += 1
            if not objects.flags[obj] & AVAILABLE:
                missing += 1
                maker = objects.producer[obj]
                todo.append(maker)
                if tasks.stage[maker] > FINISHED:
                    doomed[task] = culprit_of(session, maker)
        tasks.missing[task] = missing
        put_back(session, task)
    for task, culprit in doomed.items():
        stop_with_readers(state, session, [task], culprit)
