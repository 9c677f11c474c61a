"""What happens to tasks and objects whoever caused it: they come, become ready, and go."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from heapq import heapify, heappush

from rain.protocol.columns import pack
from rain.protocol.worker import Unavailable
from rain.worker.machine.numbers import among
from rain.worker.machine.outbox import TurnEffects
from rain.worker.machine.state import HeldRun, HeldSession, Lane, State


def outputs(run: HeldRun) -> range:
    """The objects that these tasks make."""
    return range(run.first_output, run.first_output + run.n_outputs)


def cut_off(session: HeldSession | None, run: HeldRun, count: int) -> HeldRun:
    """The first `count` tasks of a run, fewer than all, as one of their own; they are the caller's to put somewhere."""
    head = run.cut(count)
    if session is not None and session.tasks.get(head.task) is run:
        session.tasks.set(head.task, head, count)
    return head


def divide(session: HeldSession | None, run: HeldRun, first: int, count: int) -> tuple[HeldRun, list[HeldRun]]:
    """These tasks of a run, and what it has before and after them; all of them are the caller's to put somewhere."""
    others = []
    if first > run.task:
        others.append(cut_off(session, run, first - run.task))
    if count == run.count:
        return run, others
    part = cut_off(session, run, count)
    return part, [*others, run]


def make_ready(state: State, run: HeldRun) -> None:
    """All inputs are present: the tasks queue."""
    lane = run.spec.lane
    if not lane.heap:
        state.lanes[lane] = None
    heappush(lane.heap, (run.order, run))
    lane.n_ready += run.count


def put_back(state: State, run: HeldRun) -> None:
    """Tasks that left their batch without an end: they queue again, or wait for inputs."""
    run.executor = None
    if not run.missing:
        make_ready(state, run)


def rebuild_lane(state: State, lane: Lane, gone: Collection[HeldRun], added: Iterable[HeldRun]) -> None:
    """Takes runs out of a lane, and puts others into it, which may have been parts of those."""
    kept = [run for _, run in lane.heap if run not in gone]
    kept += added
    lane.heap = [(run.order, run) for run in kept]
    heapify(lane.heap)
    lane.n_ready = sum(run.count for run in kept)
    if not lane.heap:
        close_lane(state, lane)


def close_lane(state: State, lane: Lane) -> None:
    """The lane is empty: dispatch need not look at it."""
    state.lanes.pop(lane, None)
    lane.blocked_since = None


def object_present(state: State, session: HeldSession, obj: int) -> None:
    """The object is in the store: tasks that waited only for it become ready, unless they are in a batch already."""
    objects_present(state, session, obj, 1)


def objects_present(state: State, session: HeldSession, first: int, count: int) -> None:
    """The same for neighbours."""
    session.present.add(first, count)
    if session.leftovers:
        session.leftovers.difference_update(among(session.leftovers, first, count))
    for obj in among(session.waiters, first, count) if session.waiters else ():
        for task in session.waiters.pop(obj):
            task.missing -= 1
            if not task.missing and task.executor is None:
                make_ready(state, task)


def release_inputs(session: HeldSession, task: HeldRun, outbox: TurnEffects) -> None:
    """The task reads its inputs no more; those that the server dropped meanwhile go."""
    for obj in set(task.inputs):
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
    if obj in session.present:
        session.present.discard(obj)
        discard_file(session, obj, outbox)


def discard_file(session: HeldSession, obj: int, outbox: TurnEffects) -> None:
    """The object's file goes; while an attempt here makes the object it may be that attempt's, so it goes after it."""
    if obj in session.making:
        session.leftovers.add(obj)
    else:
        outbox.discard(session.number, obj)


def forget_run(session: HeldSession, run: HeldRun, outbox: TurnEffects) -> None:
    """The tasks are none of this session's any more. They must have left their lane before."""
    session.tasks.discard(run.task, run.count)
    session.making.discard(run.first_output, run.n_outputs)
    for obj in among(session.leftovers, run.first_output, run.n_outputs):
        session.leftovers.discard(obj)
        outbox.discard(session.number, obj)
    if run.missing:
        _stop_waiting(session, run)
    if run.inputs:
        release_inputs(session, run, outbox)


def discard_outputs(session: HeldSession, run: HeldRun, outbox: TurnEffects) -> None:
    """What attempts that ended without a report may have left of their outputs in the store goes."""
    for obj in outputs(run):
        if obj not in session.present and obj not in session.fetching:
            discard_file(session, obj, outbox)


def give_back(session: HeldSession, lost: Mapping[int, int], outbox: TurnEffects, *, unwritten: str = "") -> None:
    """These inputs (and the holders that were to have them) cannot be had: tasks that wait for them are not for us.

    Tasks that wait for outputs of those stay, until the server cancels them; and so do those in a batch that makes what
    they wait for.
    """
    found = {task.order: task for obj in lost for task in session.waiters.get(obj, ()) if task.executor is None}
    tasks = [found[order] for order in sorted(found)]
    for task in tasks:
        forget_run(session, task, outbox)
    outbox.tell(
        Unavailable(
            session=session.number,
            objects=pack("I", lost),
            holder=pack("I", lost.values()),
            task=pack("I", [task.task for task in tasks]),
            attempt=pack("I", [task.attempt for task in tasks]),
            unwritten=unwritten,
        )
    )


def _stop_waiting(session: HeldSession, task: HeldRun) -> None:
    for obj in set(task.inputs):
        waiting = session.waiters.get(obj)
        if waiting is None or task not in waiting:
            continue
        waiting.remove(task)
        if not waiting:
            del session.waiters[obj]
