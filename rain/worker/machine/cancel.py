"""Tasks that shall not run, or not go on."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from rain.worker.machine.executors import kill
from rain.worker.machine.numbers import neighbours
from rain.worker.machine.outbox import TurnEffects
from rain.worker.machine.state import HeldRun, HeldSession, Lane, State
from rain.worker.machine.transitions import divide, forget_run, rebuild_lane


def cancel_tasks(state: State, session: HeldSession, tasks: Iterable[int], outbox: TurnEffects) -> None:
    """Forgets the tasks, which are held; an executor that was given one is killed, and the others of its batch queue
    again after that.

    Which task of a batch runs is not known here, so the executor dies even where the cancelled one had not begun;
    batches are made of short tasks, long ones stand alone.
    """
    queued: dict[Lane, set[HeldRun]] = {}
    left: dict[Lane, list[HeldRun]] = {}
    for first, count in neighbours(array("I", sorted(tasks))):
        for _, _, run in list(session.tasks.stretches(first, count)):
            start = max(first, run.task)
            part, others = divide(session, run, start, min(first + count, run.end) - start)
            lane = run.spec.lane
            if run.executor is not None:
                for batch in run.executor.batches:
                    batch.replace(run, part, *others)
                kill(state, run.executor, outbox)
            elif not run.missing:
                queued.setdefault(lane, set()).update((run, part))
                left.setdefault(lane, []).extend(others)
            forget_run(session, part, outbox)
    for lane, gone in queued.items():
        rebuild_lane(state, lane, gone, left[lane])
