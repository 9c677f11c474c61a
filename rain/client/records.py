"""What a user sees of a task or an object: its plan (`spec`), and what became of it (`info`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from rain.core.ids import worker_name
from rain.core.note import TaskNote
from rain.core.user import decode_user
from rain.protocol.shown import AttemptInfo, ObjectInfo, TaskInfo

if TYPE_CHECKING:
    from rain.client.task import Task
    from rain.core.spec import OutputSpec

#: States of a task as numbers of one byte; 0 is "not submitted".
TASK_STATES = (None, "waiting", "running", "finished", "failed", "cancelled")
TASK_STATE_NUMBERS = {state: number for number, state in enumerate(TASK_STATES)}
WAITING, RUNNING, FINISHED, FAILED, CANCELLED = range(1, 6)

#: States of an object likewise.
OBJECT_STATES = (None, "unfinished", "finished", "removed")
OBJECT_STATE_NUMBERS = {state: number for number, state in enumerate(OBJECT_STATES)}
OBJECT_UNFINISHED, OBJECT_FINISHED, OBJECT_REMOVED = range(1, 4)


_UNKNOWN_ATTEMPT = "nothing is known of it: its worker was lost, it was taken back, or too much was said before it"


class _Record:
    """Attributes that are shown alike."""

    __slots__: tuple[str, ...] = ()

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__ if name[0] != "_")
        return f"{type(self).__name__}({fields})"


class TaskPlan(_Record):
    """What the author of a task said of it; `resources` and `user` are dicts that may be changed until the submit.

    `user` takes what JSON can carry; the task finds it as `ctx.spec.user`.
    """

    __slots__ = ("_task", "id", "kind", "name", "resources", "user")

    def __init__(self, task: Task, resources: dict[str, Any], user: dict[str, Any]) -> None:
        self._task = task
        self.id = task.id
        self.kind = str(task._spec.kind)
        self.name = task.name
        self.resources = resources
        self.user = user

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the objects that it reads."""
        return tuple(obj.id for obj in self._task.inputs)

    @property
    def outputs(self) -> tuple[OutputSpec, ...]:
        """What it makes: label, content type, encoding, path."""
        return self._task._spec.outputs


class ObjectPlan(_Record):
    """What the author of a data object said of it; `content_type` is the planned one.

    `user` is a dict of what JSON can carry; it may be changed until the submit, and tasks that read the object find it
    as `instance.spec.user`.
    """

    __slots__ = ("content_type", "id", "label", "user")

    def __init__(
        self, object_id: str, label: str | None, content_type: str | None, user: dict[str, Any] | None = None
    ) -> None:
        self.id = object_id
        self.label = label
        self.content_type = content_type
        self.user = {} if user is None else user


class TaskRecord(_Record):
    """What became of a task, as the server last said.

    `error`: why it failed, text or None. `start_time`: seconds since 1970. `duration`: seconds of the task's own work.
    `worker`: "w2" or None. Of the last attempt: `debug`, the lines of `ctx.debug`; `user`, the dict that the task left
    in `ctx.info.user`; `stdout` and `stderr`, the ends of what it printed; `progress`, what it said last by
    `ctx.progress` as (fraction, text), None where it did not. `attempts`: all of them, by number.
    """

    __slots__ = (
        "_before",
        "attempt",
        "debug",
        "duration",
        "error",
        "progress",
        "start_time",
        "stderr",
        "stdout",
        "user",
        "worker",
    )

    def __init__(self, news: TaskInfo) -> None:
        self.error = None if news.failure is None else news.failure.message
        self.start_time = news.start_time
        self.duration = None if news.duration_us is None else news.duration_us / 1e6
        self.worker = None if not news.worker else worker_name(news.worker)
        self.attempt = news.attempt
        note = news.note or TaskNote(debug="" if news.failure is None else news.failure.debug)
        self.debug = note.debug
        self.user = decode_user(note.user)
        self.stdout = note.stdout
        self.stderr = note.stderr
        self.progress = note.progress
        self._before = news.attempts

    @property
    def attempts(self) -> tuple[AttemptRecord, ...]:
        """All attempts up to the last one; `attempts[0]` is the first. Empty before the first has begun.

        Of an attempt whose worker was lost, or that was taken back, nothing is known; its `error` says so.
        """
        if self.worker is None:
            return ()
        before = {each.attempt: each for each in self._before}
        unknown = AttemptInfo(0, 0, _UNKNOWN_ATTEMPT, 0)
        known = [before.get(number) or replace(unknown, attempt=number) for number in range(self.attempt)]
        return (*map(AttemptRecord.of, known), AttemptRecord(self, self.error))


class AttemptRecord(_Record):
    """What became of one attempt of a task; the words are those of `task.info`."""

    __slots__ = ("attempt", "debug", "duration", "error", "progress", "stderr", "stdout", "user", "worker")

    def __init__(self, record: TaskRecord, error: str | None) -> None:
        self.attempt = record.attempt
        self.worker = record.worker
        self.error = error
        self.duration = record.duration
        self.debug = record.debug
        self.user = record.user
        self.stdout = record.stdout
        self.stderr = record.stderr
        self.progress = record.progress

    @classmethod
    def of(cls, past: AttemptInfo) -> AttemptRecord:
        """An attempt before the last one."""
        info = TaskInfo("", past.worker, past.attempt, past.duration_us or None, None, None, past.note)
        return cls(TaskRecord(info), past.error)


class ObjectRecord(_Record):
    """What became of a data object: `size` in bytes, and the content type that its task set.

    `user`: the dict that its task left in `info.user`. `error`: why there is no such object, where its task failed.
    `debug`: the debug lines of its task; not known from a `fetch()` alone.
    """

    __slots__ = ("content_type", "debug", "error", "size", "user")

    def __init__(
        self,
        size: int | None,
        content_type: str | None,
        *,
        user: bytes = b"",
        error: str | None = None,
        debug: str = "",
    ) -> None:
        self.size = size
        self.content_type = content_type
        self.user = decode_user(user)
        self.error = error
        self.debug = debug

    @classmethod
    def of(cls, news: ObjectInfo) -> ObjectRecord:
        """From what the server said."""
        return cls(news.size, news.content_type, user=news.user, error=news.error, debug=news.debug)
