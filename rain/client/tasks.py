"""The built-in tasks; each class has its lower-case name, too: `tasks.concat(a, b)`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Unpack

from rain.client.arrays import ObjectArray, TaskArray
from rain.client.execute import Execute
from rain.client.objects import DataObject, to_dataobj
from rain.client.options import TaskOptions, is_number, settings_from
from rain.client.ports import Output, outputs_from
from rain.client.task import Task
from rain.core.errors import RainException
from rain.core.kinds import Kind, PathArgs, SleepArgs
from rain.core.spec import OutputSpec
from rain.protocol.codec import encode

#: A sleep of more than a year is a mistake.
_MAX_SLEEP_S = 366 * 86400.0


class Concat(Task):
    """The bytes of its inputs one after the other, repeats allowed; none gives an empty blob."""

    TASK_TYPE = Kind.CONCAT
    __slots__ = ()

    def __init__(
        self,
        *objects: DataObject | Task | TaskArray | ObjectArray | Iterable[DataObject | Task],
        **options: Unpack[TaskOptions],
    ) -> None:
        items: Iterable[Any] = objects
        if len(objects) == 1 and not isinstance(objects[0], DataObject | Task | TaskArray | ObjectArray | str | bytes):
            if not isinstance(objects[0], Iterable):
                raise RainException(f"Concat: expected data objects, found {objects[0]!r}")
            items = objects[0]
        self._build(
            Kind.CONCAT,
            [item if isinstance(item, TaskArray | ObjectArray) else to_dataobj(item) for item in items],
            (OutputSpec(),),
            settings_from(options, "Concat"),
            session=options.get("session"),
        )


class Load(Task):
    """A file on the worker's machine, or a URL, becomes the only output.

    A relative path is taken from the folder in which the client runs. Only the worker can say whether it is there.
    """

    TASK_TYPE = Kind.LOAD
    __slots__ = ()

    def __init__(
        self, path: str | os.PathLike[str], output: str | Output | None = None, **options: Unpack[TaskOptions]
    ) -> None:
        outputs = outputs_from(1 if output is None else output)
        if len(outputs) != 1:
            raise RainException(f"Load: expected a label or an Output for the only output, found {output!r}")
        self._build(
            Kind.LOAD,
            (),
            outputs,
            settings_from(options, "Load"),
            session=options.get("session"),
            args=encode(PathArgs(_absolute(path, "Load"))),
        )


class Store(Task):
    """Writes its input to a path on the worker's machine; never half a file there. It has no outputs."""

    TASK_TYPE = Kind.STORE
    __slots__ = ()

    def __init__(self, obj: DataObject | Task, path: str | os.PathLike[str], **options: Unpack[TaskOptions]) -> None:
        self._build(
            Kind.STORE,
            [to_dataobj(obj)],
            (),
            settings_from(options, "Store"),
            session=options.get("session"),
            args=encode(PathArgs(_absolute(path, "Store"))),
        )


class Sleep(Task):
    """Passes its input on, unchanged, after so many seconds."""

    TASK_TYPE = Kind.SLEEP
    __slots__ = ()

    def __init__(self, obj: DataObject | Task, seconds: float, **options: Unpack[TaskOptions]) -> None:
        if not is_number(seconds) or not 0 <= seconds <= _MAX_SLEEP_S:
            raise RainException(f"Sleep: expected seconds from 0 to {_MAX_SLEEP_S:g}, found {seconds!r}")
        source = to_dataobj(obj)
        self._build(
            Kind.SLEEP,
            [source],
            (OutputSpec(content_type=source.content_type),),
            settings_from(options, "Sleep"),
            session=options.get("session"),
            args=encode(SleepArgs(float(seconds))),
        )


def _absolute(path: object, what: str) -> str:
    try:
        text = os.fspath(path)  # type: ignore[call-overload]
    except TypeError:
        text = None
    if not isinstance(text, str) or not text or "\0" in text:
        raise RainException(f"{what}: expected a path as text, found {path!r}")
    return text if "://" in text else os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111


concat = Concat
open = Load
load = Load
export = Store
store = Store
sleep = Sleep
execute = Execute

__all__ = [
    "Concat",
    "Execute",
    "Load",
    "Sleep",
    "Store",
    "concat",
    "execute",
    "export",
    "load",
    "open",
    "sleep",
    "store",
]
