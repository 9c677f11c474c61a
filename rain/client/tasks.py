"""The built-in tasks; each class has its lower-case name, too: `tasks.concat(a, b)`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from msgspec.structs import replace

from rain.client.arrays import ObjectArray, TaskArray
from rain.client.directories import checked_blob, checked_directory, checked_part, checked_rows
from rain.client.execute import Execute
from rain.client.objects import DataObject, to_dataobj
from rain.client.options import TaskOptions, is_number, settings_from
from rain.client.ports import Output, outputs_from
from rain.client.task import Task
from rain.core.content import DIRECTORY
from rain.core.errors import RainException
from rain.core.kinds import Kind, MakeDirectoryArgs, PathArgs, SleepArgs
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
            [item if isinstance(item, TaskArray | ObjectArray) else checked_blob(item, "Concat") for item in items],
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
        if outputs[0].content_type == DIRECTORY:
            raise RainException("Load: the output is a file; LoadDir takes a folder")
        self._build(
            Kind.LOAD,
            (),
            outputs,
            settings_from(options, "Load"),
            session=options.get("session"),
            args=encode(PathArgs(_absolute(path, "Load"))),
        )


class Store(Task):
    """Writes its input, a blob or a directory, to a path on the worker's machine; never half of it there.

    It has no outputs. A file at the path is replaced; a directory is written where nothing is yet.
    """

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
            raise RainException(f"Sleep: expected seconds from 0 to {_MAX_SLEEP_S:.0f}, found {seconds!r}")
        source = to_dataobj(obj)
        self._build(
            Kind.SLEEP,
            [source],
            (OutputSpec(content_type=source.content_type),),
            settings_from(options, "Sleep"),
            session=options.get("session"),
            args=encode(SleepArgs(float(seconds))),
        )


class MakeDirectory(Task):
    """Puts a directory together: (path, object) pairs, or a dict of them.

    Paths are relative; folders between are made. With a slash at the end the object is a directory and becomes a
    subdirectory, without one it becomes a file. Large objects become links, not copies.
    """

    TASK_TYPE = Kind.MAKE_DIRECTORY
    __slots__ = ()

    def __init__(
        self,
        parts: Mapping[str, DataObject | Task] | Iterable[tuple[str, DataObject | Task]] = (),
        output: str | Output | None = None,
        **options: Unpack[TaskOptions],
    ) -> None:
        rows = checked_rows(parts)
        self._build(
            Kind.MAKE_DIRECTORY,
            [obj for _, obj in rows],
            _only_output(output, "MakeDirectory", is_directory=True),
            settings_from(options, "MakeDirectory"),
            session=options.get("session"),
            args=encode(MakeDirectoryArgs(tuple(path for path, _ in rows))),
        )


class SliceDirectory(Task):
    """Takes the file with this path out of a directory; with a slash at the end the folder, "./" is all of it."""

    TASK_TYPE = Kind.SLICE_DIRECTORY
    __slots__ = ()

    def __init__(
        self,
        directory: DataObject | Task,
        path: str,
        output: str | Output | None = None,
        **options: Unpack[TaskOptions],
    ) -> None:
        source = checked_directory(directory, "SliceDirectory")
        checked_part(path, "SliceDirectory")
        self._build(
            Kind.SLICE_DIRECTORY,
            [source],
            _only_output(output, "SliceDirectory", is_directory=path.endswith("/")),
            settings_from(options, "SliceDirectory"),
            session=options.get("session"),
            args=encode(PathArgs(path)),
        )


class LoadDir(Task):
    """A folder on the worker's machine becomes the only output, a directory; relative paths as for `Load`."""

    TASK_TYPE = Kind.LOAD_DIRECTORY
    __slots__ = ()

    def __init__(
        self, path: str | os.PathLike[str], output: str | Output | None = None, **options: Unpack[TaskOptions]
    ) -> None:
        folder = _absolute(path, "LoadDir")
        if "://" in folder:
            raise RainException(f"LoadDir: expected a path on the worker's machine, found {path!r}; Load takes URLs")
        self._build(
            Kind.LOAD_DIRECTORY,
            (),
            _only_output(output, "LoadDir", is_directory=True),
            settings_from(options, "LoadDir"),
            session=options.get("session"),
            args=encode(PathArgs(folder)),
        )


def _only_output(output: str | Output | None, what: str, *, is_directory: bool) -> tuple[OutputSpec, ...]:
    """The declared output, typed `dir` where it is a directory. Raises RainException where that contradicts it."""
    outputs = outputs_from(1 if output is None else output)
    if len(outputs) != 1:
        raise RainException(f"{what}: expected a label or an Output for the only output, found {output!r}")
    [spec] = outputs
    if not is_directory:
        if spec.is_directory or spec.content_type == DIRECTORY:
            raise RainException(f"{what}: the output is a file; a slash at the end of the path asks for a folder")
        return outputs
    if spec.content_type not in (None, DIRECTORY):
        raise RainException(f"{what}: the output is a directory, not {spec.content_type!r}")
    return (replace(spec, content_type=DIRECTORY, encode=None, is_directory=True),)


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
load_dir = LoadDir
make_directory = MakeDirectory
slice_directory = SliceDirectory
export = Store
store = Store
sleep = Sleep
execute = Execute

__all__ = [
    "Concat",
    "Execute",
    "Load",
    "LoadDir",
    "MakeDirectory",
    "Sleep",
    "SliceDirectory",
    "Store",
    "concat",
    "execute",
    "export",
    "load",
    "load_dir",
    "make_directory",
    "open",
    "sleep",
    "slice_directory",
    "store",
]
