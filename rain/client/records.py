"""What a user sees of a task or an object: its plan (`spec`), and what became of it (`info`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rain.core.ids import worker_name
from rain.protocol.client import ObjectInfo, TaskInfo

#: States of a task as numbers of one byte; 0 is "not submitted".
TASK_STATES = (None, "waiting", "running", "finished", "failed", "cancelled")
TASK_STATE_NUMBERS = {state: number for number, state in enumerate(TASK_STATES)}
WAITING, RUNNING, FINISHED, FAILED, CANCELLED = range(1, 6)

#: States of an object likewise.
OBJECT_STATES = (None, "unfinished", "finished", "removed")
OBJECT_STATE_NUMBERS = {state: number for number, state in enumerate(OBJECT_STATES)}
OBJECT_UNFINISHED, OBJECT_FINISHED, OBJECT_REMOVED = range(1, 4)


class _Record:
    """Attributes that are shown alike."""

    __slots__: tuple[str, ...] = ()

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({fields})"


class TaskPlan(_Record):
    """What the author of a task said of it; `resources` is a dict that may be changed until the submit."""

    __slots__ = ("id", "kind", "name", "resources")

    def __init__(self, task_id: str, kind: str, name: str | None, resources: Mapping[str, Any]) -> None:
        self.id = task_id
        self.kind = kind
        self.name = name
        self.resources = resources


class ObjectPlan(_Record):
    """What the author of a data object said of it; `content_type` is the planned one."""

    __slots__ = ("content_type", "id", "label")

    def __init__(self, object_id: str, label: str | None, content_type: str | None) -> None:
        self.id = object_id
        self.label = label
        self.content_type = content_type


class TaskRecord(_Record):
    """What became of a task, as the server last said.

    `error`: why it failed, text or None. `start_time`: seconds since 1970. `duration`: seconds of the task's own work.
    `worker`: "w2" or None. `debug`: the lines of `ctx.debug` of a failed task.
    """

    __slots__ = ("attempt", "debug", "duration", "error", "start_time", "worker")

    def __init__(self, news: TaskInfo) -> None:
        self.error = None if news.failure is None else news.failure.message
        self.start_time = news.start_time
        self.duration = None if news.duration_us is None else news.duration_us / 1e6
        self.worker = None if not news.worker else worker_name(news.worker)
        self.attempt = news.attempt
        self.debug = "" if news.failure is None else news.failure.debug


class ObjectRecord(_Record):
    """What became of a data object: `size` in bytes, and the content type that its task set."""

    __slots__ = ("content_type", "size")

    def __init__(self, size: int | None, content_type: str | None) -> None:
        self.size = size
        self.content_type = content_type

    @classmethod
    def of(cls, news: ObjectInfo) -> ObjectRecord:
        """From what the server said."""
        return cls(news.size, news.content_type)
