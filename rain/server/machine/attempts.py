"""What the attempts of a task said before its last one, and how far the one that runs says it is.

Both are sparse, and count for what the tasks of a session may say together, see `attachments`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rain.core.ids import NONE
from rain.core.note import TaskNote, TaskProgress, note_bytes, progress_bytes
from rain.protocol.columns import unpack
from rain.protocol.shown import AttemptInfo
from rain.server.machine import attachments
from rain.server.machine.stages import ASSIGNED

if TYPE_CHECKING:
    from rain.protocol.worker import TasksProgressed
    from rain.server.machine.state import ServerSession, ServerState, Worker

#: Of each task the last so many attempts before the present one are remembered.
MAX_PAST_ATTEMPTS = 10
#: Characters of the reason for which one of them failed.
MAX_ERROR = 1000
#: Running tasks of a session whose progress is listed.
MAX_LISTED = 20


def attempt_bytes(past: AttemptInfo) -> int:
    """About how much memory a past attempt takes."""
    return 200 + len(past.error or "") + (0 if past.note is None else note_bytes(past.note))


def retire_attempt(session: ServerSession, task: int, attempt: int, worker: int, error: str | None) -> None:
    """Another attempt follows this one, which ended by an error or whose results were lost."""
    attached = session.attached
    note = attachments.note_of(session, task)
    attachments.drop_note(session, task)
    duration_us = session.tasks.duration_us[task]
    past = AttemptInfo(attempt, worker, None if error is None else error[:MAX_ERROR], duration_us, note)
    if not attachments.has_room(session, attempt_bytes(past)):
        past = replace(past, note=attachments.LEFT_OUT)
        if not attachments.has_room(session, attempt_bytes(past)):
            return
    attached.past.setdefault(task, []).append(past)
    attached.notes_bytes += attempt_bytes(past)
    if len(attached.past[task]) > MAX_PAST_ATTEMPTS:
        attached.notes_bytes -= attempt_bytes(attached.past[task].pop(0))


def results_lost(session: ServerSession, task: int) -> None:
    """A finished task is to run again; to be called before it gets a new attempt."""
    tasks = session.tasks
    if attachments.note_of(session, task) is not None and tasks.worker[task] != NONE:
        retire_attempt(session, task, tasks.attempt[task], tasks.worker[task], None)


def past_attempts(session: ServerSession, task: int) -> tuple[AttemptInfo, ...]:
    """The attempts before the present one, as far as they are remembered."""
    return tuple(session.attached.past.get(task, ()))


def tasks_progressed(state: ServerState, worker: Worker, message: TasksProgressed) -> None:
    """Remembers the last word of attempts that are expected of this worker.

    Raises ProtocolViolation when the columns contradict one another.
    """
    rows = len(message.progress)
    task_numbers = unpack("I", message.task, "task", rows)
    attempts = unpack("I", message.attempt, "attempt", rows)
    session = state.sessions.get(message.session)
    if session is None:
        return
    tasks = session.tasks
    for task, attempt, progress in zip(task_numbers, attempts, message.progress, strict=True):
        is_expected = task < len(tasks) and tasks.stage[task] == ASSIGNED and tasks.attempt[task] == attempt
        if is_expected and tasks.worker[task] == worker.number:
            _keep(session, task, attempt, progress)


def live_progress(session: ServerSession, task: int) -> TaskProgress | None:
    """What the present attempt said before its end."""
    said = session.attached.progress.get(task)
    return said[1] if said is not None and said[0] == session.tasks.attempt[task] else None


def progress_of(session: ServerSession, task: int) -> TaskProgress | None:
    """What the present attempt said last, also when it has ended."""
    note = session.attached.notes.get(task)
    return live_progress(session, task) or (None if note is None else note.progress)


def listed_progress(session: ServerSession) -> Iterator[tuple[int, TaskProgress]]:
    """Running tasks that said how far they are, the first ones of them."""
    n_listed = 0
    for task in session.attached.progress:
        said = live_progress(session, task)
        if said is not None and session.tasks.stage[task] == ASSIGNED:
            yield task, said
            n_listed += 1
            if n_listed == MAX_LISTED:
                return


def with_progress(session: ServerSession, task: int, note: TaskNote | None) -> TaskNote | None:
    """The note of the present attempt, with what it said before its end."""
    said = live_progress(session, task)
    if said is None or (note is not None and note.progress is not None):
        return note
    return replace(note or TaskNote(), progress=said)


def _keep(session: ServerSession, task: int, attempt: int, progress: TaskProgress) -> None:
    attached = session.attached
    attachments.drop_progress(session, task)
    if attachments.has_room(session, progress_bytes(progress)):
        attached.progress[task] = (attempt, progress)
        attached.notes_bytes += progress_bytes(progress)
