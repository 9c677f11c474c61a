"""Inputs that could not be brought to a worker: how often that is tried, and where next.

Either the holder did not give the object, or the worker had no room for it. Who is gone since then is not held against
the task: a worker that is killed or leaves denies its objects to many before anybody knows that it is gone.
"""

from __future__ import annotations

from rain.core.ids import NONE, SERVER, object_name, task_name, worker_name
from rain.server.machine.rooms import staying
from rain.server.machine.state import ServerSession, ServerState

#: So often an input may be wanting that those who are still there should have had, before the task fails.
MAX_INPUT_FAILURES = 5


def note_refusal(session: ServerSession, task: int, worker: int, holder: int) -> bool:
    """An attempt ended at the worker for want of an input of this holder; whether another attempt may be made.

    `holder`: the worker itself where it had no room, or lost what it had.
    """
    refusals = session.refusals.setdefault(task, [])
    refusals.append((worker, holder))
    return len(refusals) <= MAX_INPUT_FAILURES


def forgive(session: ServerSession, gone: int) -> None:
    """What was refused at this worker, or by it, happens no more."""
    for task, refusals in list(session.refusals.items()):
        session.refusals[task] = [each for each in refusals if gone not in each]
        if not session.refusals[task]:
            del session.refusals[task]


def workers_refusing(session: ServerSession, task: int) -> set[int]:
    """Workers to which an input of the task could not be brought; others should try it first."""
    return {worker for worker, _ in session.refusals.get(task, ())}


def refused_too_often(session: ServerSession, task: int, obj: int, holder: int, unwritten: str) -> str:
    """Why the task fails, in words; the last refusal is that of `obj`, which is `holder`'s."""
    worker = session.refusals[task][-1][0]
    name, owner = object_name(session.number, obj), task_name(session.number, task)
    n_times = len(session.refusals[task])
    if unwritten:
        where = ", ".join(map(worker_name, sorted(workers_refusing(session, task))))
        return (
            f"{name}, an input of {owner}, could not be written at {worker_name(worker)}: {unwritten}. It was tried "
            f"{n_times} times, at {where}."
        )
    giver = "the server" if holder == SERVER else worker_name(holder)
    return (
        f"{name}, an input of {owner}, could not be brought to {worker_name(worker)} from {giver}; it was tried "
        f"{n_times} times. The worker's log says why (a data port that cannot be reached, for one)."
    )


def copy_refused(state: ServerState, session: int, obj: int, holder: int, worker: int) -> None:
    """A worker has no room for the copy of what a draining one holds: another one is asked."""
    drain = state.workers[holder].drain if holder in state.workers else None
    if drain is None or drain.copies.get((session, obj), (NONE, 0.0))[0] != worker:
        return
    others = sorted(other.number for other in staying(state))
    if others:
        following = next((number for number in others if number > worker), others[0])
        drain.copies[session, obj] = (following, float("-inf"))
