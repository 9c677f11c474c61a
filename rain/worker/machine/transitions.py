"""What happens to tasks and objects whoever caused it: they come, become ready, and go."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappush

from rain.protocol.columns import pack
from rain.protocol.worker import Unavailable
from rain.worker.machine.outbox import TurnEffects
from rain.worker.machine.state import HeldSession, HeldTask, Lane, State


def outputs(task: HeldTask) -> range:
    """The objects that a task makes."""
    first = task.queued.first_output
    return range(first, first + task.spec.n_outputs)


def make_ready(state: State, task: HeldTask) -> None:
    """All inputs are present: the task queues."""
    lane = task.spec.lane
    if not lane.heap:
        state.lanes[lane] = None
    heappush(lane.heap, (task.order, task))


def leave_lane(state: State, lane: Lane, gone: set[int]) -> None:
    """Takes the tasks with these orders out of a lane."""
    lane.heap = [entry for entry in lane.heap if entry[0] not in gone]
    heapify(lane.heap)
    if not lane.heap:
        close_lane(state, lane)


def close_lane(state: State, lane: Lane) -> None:
    """The lane is empty: dispatch need not look at it."""
    state.lanes.pop(lane, None)
    lane.blocked_since = None


def object_present(state: State, session: HeldSession, obj: int, size: int) -> None:
    """The object is in the store: tasks that waited only for it become ready."""
    session.present[obj] = size
    session.leftovers.discard(obj)
    for task in session.waiters.pop(obj, ()):
        task.missing -= 1
        if not task.missing:
            make_ready(state, task)


def release_inputs(session: HeldSession, task: HeldTask, outbox: TurnEffects) -> None:
    """The task reads its inputs no more; those that the server dropped meanwhile go."""
    for obj in set(task.queued.inputs):
        left = session.needed[obj] - 1
        if left:
            session.needed[obj] = left
            continue
        del session.needed[obj]
        if obj in session.doomed and obj not in session.fetching:
            session.doomed.discard(obj)
            remove_object(session, obj, outbox)


def remove_object(session: HeldSession, obj: int, outbox: TurnEffects) -> None:
    """The object leaves the store, if it is there."""
    if session.present.pop(obj, None) is not None:
        discard_file(session, obj, outbox)


def discard_file(session: HeldSession, obj: int, outbox: TurnEffects) -> None:
    """The object's file goes; while an attempt here makes the object it may be that attempt's, so it goes after it."""
    if obj in session.making:
        session.leftovers.add(obj)
    else:
        outbox.discard(session.number, obj)


def forget_task(session: HeldSession, task: HeldTask, outbox: TurnEffects) -> None:
    """The task is none of this session's any more. It must have left its lane before."""
    del session.tasks[task.queued.task]
    for obj in outputs(task):
        if session.making.get(obj) is task:
            del session.making[obj]
            if obj in session.leftovers:
                session.leftovers.discard(obj)
                outbox.discard(session.number, obj)
    if task.missing:
        _stop_waiting(session, task)
    if task.queued.inputs:
        release_inputs(session, task, outbox)


def discard_outputs(session: HeldSession, task: HeldTask, outbox: TurnEffects) -> None:
    """What an attempt that ended without a report may have left of its outputs in the store goes."""
    for obj in outputs(task):
        if obj not in session.present and obj not in session.fetching:
            discard_file(session, obj, outbox)


def give_back(session: HeldSession, lost: Mapping[int, int], outbox: TurnEffects) -> None:
    """These inputs (and the holders that were to have them) cannot be had: tasks that wait for them are not for us.

    Tasks that wait for outputs of those stay, until the server cancels them.
    """
    found = {task.order: task for obj in lost for task in session.waiters.get(obj, ())}
    tasks = [found[order] for order in sorted(found)]
    for task in tasks:
        forget_task(session, task, outbox)
    outbox.tell(
        Unavailable(
            session=session.number,
            objects=pack("I", lost),
            holder=pack("I", lost.values()),
            task=pack("I", [task.queued.task for task in tasks]),
            attempt=pack("I", [task.queued.attempt for task in tasks]),
        )
    )


def _stop_waiting(session: HeldSession, task: HeldTask) -> None:
    for obj in set(task.queued.inputs):
        waiting = session.waiters.get(obj)
        if waiting is None or task not in waiting:
            continue
        waiting.remove(task)
        if not waiting:
            del session.waiters[obj]
