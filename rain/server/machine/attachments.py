"""What users attached to the tasks and objects of a session, and what tasks said beside their results.

Most tasks and objects have nothing here. What there is stays until the session ends, up to a limit; beyond it only
that something was left out is remembered.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rain.core.errors import ProtocolViolation
from rain.core.note import TaskNote, TaskProgress, note_bytes, progress_bytes
from rain.server.machine.stages import FINISHED
from rain.server.machine.tables import NOTE_LEFT_OUT

if TYPE_CHECKING:
    from array import array

    from rain.protocol.shown import AttemptInfo
    from rain.protocol.worker import Done
    from rain.server.machine.state import ServerSession

#: Notes and `info.user` of one session, and as much again of what its client attached.
MAX_NOTES_BYTES = 64 << 20
MAX_USERS_BYTES = 64 << 20
#: What the notes of a `TaskNews` may come to, in characters.
MAX_NEWS_CHARACTERS = 8 << 20

_LEFT_OUT = f"(left out: the tasks of this session have said more than {MAX_NOTES_BYTES >> 20} MiB)"
LEFT_OUT = TaskNote(debug=_LEFT_OUT, stdout=_LEFT_OUT, stderr=_LEFT_OUT)
_TOO_MANY = "(left out of an answer about many tasks: update fewer of them at once)"


@dataclass(slots=True)
class Attachments:
    """Sparse columns: what is not here has nothing."""

    #: Of the present attempts.
    notes: dict[int, TaskNote] = field(default_factory=dict)
    #: Of tasks that were tried before, see `attempts`; and by task, the attempt that runs and what it said last.
    past: dict[int, list[AttemptInfo]] = field(default_factory=dict)
    progress: dict[int, tuple[int, TaskProgress]] = field(default_factory=dict)
    #: JSON of `info.user`, by object.
    object_infos: dict[int, bytes] = field(default_factory=dict)
    #: Of all above, about.
    notes_bytes: int = 0
    #: JSON of `spec.user`, by task and by object.
    task_specs: dict[int, bytes] = field(default_factory=dict)
    object_specs: dict[int, bytes] = field(default_factory=dict)
    specs_bytes: int = 0

    def add_specs(self, task_users: Iterable[tuple[int, bytes]], object_users: Iterable[tuple[int, bytes]]) -> None:
        """What came with a submit."""
        for users, table in ((task_users, self.task_specs), (object_users, self.object_specs)):
            for number, user in users:
                table[number] = user
                self.specs_bytes += len(user)

    def of_tasks(self, tasks: array[int]) -> tuple[tuple[int, bytes], ...]:
        """What goes to the worker with these tasks: (position, `spec.user`)."""
        if not self.task_specs:
            return ()
        users = self.task_specs
        return tuple([(position, users[task]) for position, task in enumerate(tasks) if task in users])

    def of_inputs(self, inputs: array[int]) -> tuple[tuple[int, bytes, bytes], ...]:
        """What goes to the worker with the tasks that read these objects: (object, `spec.user`, `info.user`)."""
        specs, infos = self.object_specs, self.object_infos
        if not (specs or infos):
            return ()
        return tuple(
            [(obj, specs.get(obj, b""), infos.get(obj, b"")) for obj in set(inputs) if obj in specs or obj in infos]
        )


def keep_note(session: ServerSession, task: int, note: TaskNote | None) -> None:
    """What the attempt that ended leaves; what it said of its progress before its end is part of it."""
    attached = session.attached
    attempt, said = attached.progress.get(task, (None, None))
    if attempt == session.tasks.attempt[task] and (note is None or note.progress is None):
        note = replace(note or TaskNote(), progress=said)
    drop_progress(session, task)
    drop_note(session, task)
    if note is None:
        return
    if not has_room(session, note_bytes(note)):
        session.tasks.flags[task] |= NOTE_LEFT_OUT
        return
    attached.notes[task] = note
    attached.notes_bytes += note_bytes(note)


def drop_note(session: ServerSession, task: int) -> None:
    """Forgets the note of an attempt."""
    old = session.attached.notes.pop(task, None)
    if old is not None:
        session.attached.notes_bytes -= note_bytes(old)
    session.tasks.flags[task] &= ~NOTE_LEFT_OUT


def drop_progress(session: ServerSession, task: int) -> None:
    """Forgets what an attempt said before its end."""
    old = session.attached.progress.pop(task, None)
    if old is not None:
        session.attached.notes_bytes -= progress_bytes(old[1])


def has_room(session: ServerSession, n_bytes: int) -> bool:
    """Whether the tasks of the session may say so much more."""
    return session.attached.notes_bytes + n_bytes <= MAX_NOTES_BYTES


def note_of(session: ServerSession, task: int) -> TaskNote | None:
    """What the task's last attempt said; a text in its place where that was left out."""
    if session.tasks.flags[task] & NOTE_LEFT_OUT:
        return LEFT_OUT
    return session.attached.notes.get(task)


def notes_of(session: ServerSession, tasks: Iterable[int]) -> list[TaskNote | None]:
    """The notes of these tasks, as many as a message can carry."""
    room = MAX_NEWS_CHARACTERS
    found: list[TaskNote | None] = []
    for task in tasks:
        note = note_of(session, task)
        if note is not None:
            room -= note_bytes(note)
            if room < 0:
                note = TaskNote(debug=_TOO_MANY, stdout=_TOO_MANY, stderr=_TOO_MANY)
        found.append(note)
    return found


def check_attached(message: Done, n_tasks: int, n_outputs: int) -> None:
    """Raises ProtocolViolation for what is of no task or output of the message."""
    if not all(0 <= row < n_tasks for row, _ in message.notes):
        raise ProtocolViolation(f"done: a note is of none of the {n_tasks} tasks of the message")
    if not all(0 <= position < n_outputs for position, _ in message.object_users):
        raise ProtocolViolation(f"done: something is attached to none of the {n_outputs} outputs of the message")


def take_attached(session: ServerSession, worker: int, task: array[int], attempt: array[int], message: Done) -> None:
    """Keeps what came with the attempts of this report that were accepted; see `check_attached`."""
    tasks = session.tasks

    def is_accepted(row: int) -> bool:
        number = task[row]
        by_it = tasks.worker[number] == worker and tasks.attempt[number] == attempt[row]
        return by_it and tasks.stage[number] == FINISHED

    attached = session.attached
    if attached.notes or attached.progress:
        # Those of attempts before, and what these said before their ends.
        noted = {row for row, _ in message.notes}
        for row in [row for row, number in enumerate(task) if number in attached.notes or number in attached.progress]:
            if row not in noted and is_accepted(row):
                keep_note(session, task[row], None)
    for row, note in message.notes:
        if is_accepted(row):
            keep_note(session, task[row], note)
    if not message.object_users:
        return
    starts = list(accumulate((session.spec_outputs[tasks.spec[number]] for number in task), initial=0))
    for position, user in message.object_users:
        row = bisect_right(starts, position) - 1
        obj = tasks.first_output[task[row]] + position - starts[row]
        more = len(user) - len(attached.object_infos.get(obj, b""))
        if is_accepted(row) and attached.notes_bytes + more <= MAX_NOTES_BYTES:
            attached.object_infos[obj] = user
            attached.notes_bytes += more
