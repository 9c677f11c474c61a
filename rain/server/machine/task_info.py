"""What a client is told of a task: its state, how its attempts went, what they said."""

from __future__ import annotations

from array import array

from msgspec.structs import replace

from rain.core.failure import Cause, Failure
from rain.core.ids import NONE, SERVER, task_name
from rain.core.note import TaskNote
from rain.protocol.shown import TASK_STATE_NAMES, TaskInfo
from rain.server.machine.attachments import note_of
from rain.server.machine.attempts import past_attempts, with_progress
from rain.server.machine.stages import FAILED, FINISHED, STAGE_NAMES
from rain.server.machine.state import FailedTask, ServerSession, ServerState

_FAILED = TASK_STATE_NAMES.index("failed")
_CANCELLED = TASK_STATE_NAMES.index("cancelled")
#: Stages to states as numbers, by `bytes.translate`.
_STAGE_STATES = bytes(map(TASK_STATE_NAMES.index, STAGE_NAMES)).ljust(256)


def failure_of(session: ServerSession, task: int) -> FailedTask:
    """Why a FAILED or CANCELLED task is so: its own failure, that of the task it depends on, or the cancelling."""
    tasks = session.tasks
    culprit = task if tasks.stage[task] == FAILED else tasks.culprit[task]
    failed = session.failed_tasks.get(culprit)
    if failed is not None:
        return failed
    text = session.failed_reason or f"{task_name(session.number, task)} was cancelled."
    failure = Failure(cause=Cause.CANCELLED, message=text)
    worker = SERVER if tasks.worker[task] == NONE else tasks.worker[task]
    return FailedTask(task, tasks.attempt[task], worker, failure)


def task_states(session: ServerSession, tasks: array[int] | None = None) -> bytearray:
    """The states of these tasks, or of all, as indices into `TASK_STATE_NAMES`.

    What depends on a failed task has failed with it; where the whole session failed, its other tasks were cancelled.
    """
    stage = session.tasks.stage
    states = (stage if tasks is None else bytearray(map(stage.__getitem__, tasks))).translate(_STAGE_STATES)
    if session.fail_fast:
        return states
    culprit, failed_tasks = session.tasks.culprit, session.failed_tasks
    place = states.find(_CANCELLED)
    while place >= 0:
        failed = failed_tasks.get(culprit[place if tasks is None else tasks[place]])
        if failed is not None and failed.failure.cause is not Cause.CANCELLED:
            states[place] = _FAILED
        place = states.find(_CANCELLED, place + 1)
    return states


def task_info(state: ServerState, session: ServerSession, task: int, note: TaskNote | None) -> TaskInfo:
    """What `task.info` shows, with the note of its present attempt."""
    table = session.tasks
    stage = table.stage[task]
    # Nobody can tell how long a task ran whose process died.
    timed = stage == FINISHED or (stage == FAILED and table.duration_us[task] > 0)
    duration_us = table.duration_us[task] if timed else None
    start_time = None
    if timed:
        start_time = state.epoch_offset_s + table.ended_s[task] - table.duration_us[task] / 1e6
    return TaskInfo(
        state=STAGE_NAMES[stage],
        worker=None if table.worker[task] == NONE else table.worker[task],
        attempt=table.attempt[task],
        duration_us=duration_us,
        start_time=start_time,
        failure=failure_of(session, task).failure if stage > FINISHED else None,
        note=with_progress(session, task, note),
        attempts=past_attempts(session, task),
    )


def failed_task_info(state: ServerState, session: ServerSession, task: int) -> TaskInfo:
    """The same of a task whose failure is told beside it."""
    return replace(task_info(state, session, task, note_of(session, task)), failure=None)
