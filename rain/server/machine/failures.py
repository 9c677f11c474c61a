"""Attempts, tasks and sessions that fail."""

from __future__ import annotations

from msgspec.structs import replace

from rain.core.failure import Cause, Failure
from rain.core.ids import NONE
from rain.protocol.client import SessionFailed
from rain.server.machine.refusals import full_everywhere, note_full, note_refusal, refused_too_often
from rain.server.machine.stages import FAILED, FINISHED
from rain.server.machine.state import MAX_FULL_FAILURES, FailedTask, ServerSession, ServerState
from rain.server.machine.task_info import failed_task_info, task_states
from rain.server.machine.transitions import (
    cancel_followers,
    end_for_good,
    give_back,
    put_back,
    readers_of,
    stop,
    stop_with_readers,
    unassign,
)


def attempt_failed(state: ServerState, session: ServerSession, task: int, worker: int, failure: Failure) -> None:
    """An ASSIGNED task's attempt failed: it is tried again where that makes sense, else the task fails."""
    spec = session.specs[session.tasks.spec[task]]
    if failure.cause is Cause.INPUT:
        again = note_refusal(session, task, worker, worker)
    elif failure.cause is Cause.ROOM:
        again = note_full(state, session, task, worker)
        if not again:
            failure = replace(failure, message=full_everywhere(session, task, failure.message))
    else:
        failures = session.failed_attempts[task] = session.failed_attempts.get(task, 0) + 1
        again = failures <= spec.retries and failure.cause is not Cause.CANCELLED
    if again:
        unassign(state, session, task)
        cancel_followers(state, session, task)
        session.tasks.attempt[task] += 1
        put_back(session, task)
    else:
        task_failed(state, session, FailedTask(task, session.tasks.attempt[task], worker, failure))


def input_unavailable(
    state: ServerState, session: ServerSession, task: int, worker: int, *, obj: int, holder: int, unwritten: str
) -> None:
    """A task was given back for want of an input that a holder has who is there; that is not tried for ever.

    `unwritten`: why the worker could not write it; empty where the holder did not give it.
    """
    if note_refusal(session, task, worker, worker if unwritten else holder):
        give_back(state, session, task)
        return
    text = refused_too_often(session, task, obj, holder, unwritten)
    failure = Failure(cause=Cause.INPUT, message=text)
    task_failed(state, session, FailedTask(task, session.tasks.attempt[task], worker, failure))


def task_failed(state: ServerState, session: ServerSession, failed: FailedTask) -> None:
    """The last attempt of an ASSIGNED task failed: the session fails, or all that depends on the task is cancelled."""
    task = failed.task
    unassign(state, session, task)
    session.tasks.stage[task] = FAILED
    session.tasks.ended_s[task] = state.now
    if len(session.failed_tasks) >= MAX_FULL_FAILURES:
        failed.failure = Failure(cause=failed.failure.cause, message=failed.failure.message[:200])
    session.failed_tasks[task] = failed
    session.first_failure = session.first_failure or failed
    if session.fail_fast:
        end_for_good(state, session, task)
        fail_session(state, session, failed.failure.message, failed)
        return
    readers = readers_of(session, task)
    stop_with_readers(state, session, readers, task)
    end_for_good(state, session, task)


def fail_session(state: ServerState, session: ServerSession, reason: str, failed: FailedTask | None = None) -> None:
    """Nothing more of the session runs; what is finished and kept stays. Its client is told once."""
    if session.failed_reason is not None:
        return
    session.failed_reason = reason
    culprit = NONE if failed is None else failed.task
    stage = session.tasks.stage
    for task in range(len(stage)):
        if stage[task] < FINISHED:
            stop(state, session, task, culprit)
    session.ready.clear()
    session.newly_ready.clear()
    session.parts.clear()
    if session.client not in state.clients:
        return
    state.outbox.tell_client(session.client, session_failed(state, session, reason))


def session_failed(state: ServerState, session: ServerSession, reason: str) -> SessionFailed:
    """What its client is told of a session that failed."""
    # Where tasks fail alone, only a submit that is refused fails the session.
    failed = session.first_failure if session.fail_fast else None
    states = memoryview(task_states(session))
    if failed is None:
        return SessionFailed(session.number, reason, states=states)
    return SessionFailed(
        session=session.number,
        reason=reason,
        task=failed.task,
        attempt=failed.attempt,
        worker=failed.worker,
        failure=failed.failure,
        info=failed_task_info(state, session, failed.task),
        states=states,
        # Those that were cancelled for another reason, or before, have another culprit or none.
        not_run=session.tasks.culprit.count(failed.task),
    )
