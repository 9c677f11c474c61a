"""Inputs that could not be brought to a worker, and results for which it had no room: how often, and where next.

Either the holder did not give the object, or the worker had no room for it. Who is gone since then is not held against
the task: a worker that is killed or leaves denies its objects to many before anybody knows that it is gone.
"""

from __future__ import annotations

from rain.core.ids import NONE, SERVER, object_name, task_name, worker_name
from rain.server.machine.rooms import slots_of, staying
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


def note_full(state: ServerState, session: ServerSession, task: int, worker: int) -> bool:
    """An attempt ended for want of room on the disk of its worker; whether one elsewhere may be made.

    It may have worked for hours before, so no worker has to show twice that it is full.
    """
    again = note_refusal(session, task, worker, worker)
    refusing = workers_refusing(session, task)
    resource_class = session.spec_class[session.tasks.spec[task]]
    others = (each for each in staying(state) if each.number not in refusing)
    return again and any(slots_of(state, each, resource_class) for each in others)


def full_everywhere(session: ServerSession, task: int, message: str) -> str:
    """Why a task fails for which there was room nowhere; `message` is of its last attempt."""
    where = list(map(worker_name, sorted(workers_refusing(session, task))))
    tried = f"The disks of {', '.join(where)} are full" if len(where) > 1 else f"The disk of {where[0]} is full"
    enough = len(where) > MAX_INPUT_FAILURES
    more = "it is tried no more" if enough else "there is no other worker to try it on"
    return f"{message.rstrip('.')}. {tried}, and {more}; make room, or start another worker."


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
