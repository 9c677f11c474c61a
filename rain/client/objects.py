"""Handles of data objects: constants that the client made, and outputs of tasks."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from rain.client.active import chosen_session
from rain.client.arrays import ObjectArray, TaskArray
from rain.client.graph import AnyConstant, Constant, SentConstant
from rain.client.on_disk import DirectoryOnDisk, FileOnDisk
from rain.client.ports import checked_label
from rain.client.records import OBJECT_STATES, ObjectPlan, ObjectRecord
from rain.core.content import DIRECTORY, checked_type, text_encoding
from rain.core.errors import RainException
from rain.core.ids import object_name

if TYPE_CHECKING:
    from rain.client.session import Session
    from rain.client.task import Task
    from rain.data.instance import DataInstance


class DataObject:
    """An immutable result or constant; made by `blob` and its like, or found on a task (`task.output`).

    Compares and hashes by identity. `await obj` fetches it.
    """

    __slots__ = ("__weakref__", "_constant", "_info", "_number", "_session", "_task")

    _session: Session
    _number: int
    #: The task whose output it is, None for a constant.
    _task: Task | None
    _constant: AnyConstant | SentConstant | None
    _info: ObjectRecord | None

    def __init__(
        self, session: Session, number: int, task: Task | None, constant: AnyConstant | SentConstant | None
    ) -> None:
        self._session = session
        self._number = number
        self._task = task
        self._constant = constant
        self._info = None

    @property
    def id(self) -> str:
        """Its name everywhere: "s1.o7"."""
        return object_name(self._session.session_id, self._number)

    @property
    def session(self) -> Session:
        """The session it belongs to."""
        return self._session

    @property
    def label(self) -> str | None:
        """Its label among the outputs of its task; of a constant, what `blob` was told."""
        if self._constant is not None:
            return self._constant.label
        label: str | None = self._output_spec.label
        return label

    @property
    def content_type(self) -> str | None:
        """The type that its task set, as far as it is known here, else the planned one."""
        if self._info is not None and self._info.content_type is not None:
            return self._info.content_type
        return self._planned_type

    @property
    def data(self) -> bytes | None:
        """The encoded bytes of a constant, read now where they are on disk; None for an output."""
        return self._constant.data if self._constant is not None else None

    @property
    def spec(self) -> ObjectPlan:
        """What its author said of it: `id`, `label`, `content_type`, `user`; the latter may change until the submit."""
        return self._session._graph.object_plan(self._number, self.label, self._planned_type)

    @property
    def info(self) -> ObjectRecord | None:
        """What became of it, after the first `update()` or `fetch()`."""
        return self._info

    @property
    def state(self) -> str | None:
        """None before the submit, then "unfinished", "finished" or "removed", as far as a call has brought news."""
        return OBJECT_STATES[self._session._object_state(self._number)]

    def keep(self) -> DataObject:
        """Has the object kept until `unkeep()` or the end of the session, so that it can be fetched; returns it.

        Raises RainException after the submit.
        """
        self._session._keep([self])
        return self

    def unkeep(self) -> DataObject:
        """Takes `keep()` back, at any time; what nobody needs is dropped everywhere."""
        self._session.unkeep([self])
        return self

    def is_kept(self) -> bool:
        """Whether it is kept."""
        return self._session._is_kept(self._number)

    def fetch(self, timeout: float | None = None) -> DataInstance:
        """Waits until it is finished and returns its value; `timeout` in seconds (TimeoutError; the work goes on).

        Raises RainException where it is not kept or not submitted, TaskException where its task failed.
        """
        return self._session.fetch(self, timeout=timeout)

    def wait(self, timeout: float | None = None) -> None:
        """Waits until it is finished."""
        self._session.wait([self], timeout=timeout)

    def update(self) -> None:
        """Refreshes `state` and `info`."""
        self._session.update([self])

    def expect_dir(self) -> None:
        """Raises TypeError unless it is a directory."""
        if self.content_type != DIRECTORY:
            raise TypeError(f"{self._described()} is a blob, and a directory was expected")

    def expect_blob(self) -> None:
        """Raises TypeError where it is a directory."""
        if self.content_type == DIRECTORY:
            raise TypeError(f"{self._described()} is a directory, and a blob was expected")

    def __await__(self) -> Generator[Any, None, DataInstance]:
        return self._session._fetching([self]).first().__await__()

    def __reduce__(self) -> Any:
        raise RainException(
            f"{self._described()} cannot be pickled: it means something only as an argument of a task of its session"
        )

    def __repr__(self) -> str:
        return f"<DataObject {self._described()}>"

    def _repr_html_(self) -> str | None:
        from rain.client.reprs import object_html

        return object_html(self)

    @property
    def _is_here(self) -> bool:
        """The client has the bytes: nobody has to be asked for them."""
        return isinstance(self._constant, Constant)

    @property
    def _sendable(self) -> AnyConstant | None:
        """The constant whose bytes this client can send, again too; None for everything else."""
        return None if isinstance(self._constant, SentConstant) else self._constant

    @property
    def _output_spec(self) -> Any:
        assert self._task is not None, "a data object is a constant or an output"
        return self._task._spec.outputs[self._number - self._task._first_output]

    @property
    def _planned_type(self) -> str | None:
        if self._constant is not None:
            return self._constant.content_type
        planned: str | None = self._output_spec.content_type
        return planned

    def _described(self) -> str:
        return f"{self.id}, {self._origin()}"

    def _origin(self) -> str:
        if self._constant is not None:
            return "a constant" if self._constant.label is None else f"constant '{self._constant.label}'"
        assert self._task is not None, "a data object is a constant or an output"
        name = self._task.name
        return f"output of '{name}'" if name else f"output of {self._task._described()}"


def blob(
    value: Any,
    label: str = "const",
    content_type: str | None = None,
    encode: str | None = None,
    *,
    session: Session | None = None,
) -> DataObject:
    """A constant: bytes as they are, str as UTF-8 typed `text`, anything else with `encode=` a content type.

    Raises RainException where both `content_type` and `encode` are given, or the value needs `encode` and has none.
    """
    constant = constant_from(value, label, content_type, encode)
    return chosen_session(session)._add_constant(constant)


def pickled(value: Any, label: str = "pickle", *, session: Session | None = None) -> DataObject:
    """A constant with the pickle of a value: `blob(value, encode="pickle")`."""
    return blob(value, label, encode="pickle", session=session)


def file(
    path: str | os.PathLike[str],
    label: str | None = None,
    content_type: str | None = None,
    *,
    session: Session | None = None,
) -> DataObject:
    """A constant with the bytes of a file of this machine; the label is its name unless said otherwise.

    It is streamed from the disk when it is submitted, and must not change before. Raises RainException where there is
    no such file.
    """
    checked_label(label, "file")
    return chosen_session(session)._add_constant(FileOnDisk(path, label, content_type))


def directory(path: str | os.PathLike[str], label: str | None = None, *, session: Session | None = None) -> DataObject:
    """A constant, a directory, with everything in a folder of this machine; streamed likewise.

    Raises RainException where there is no such folder, or it has what no directory may have: links out of it, pipes.
    """
    checked_label(label, "directory")
    return chosen_session(session)._add_constant(DirectoryOnDisk(path, label))


def constant_from(value: Any, label: str | None, content_type: str | None, encode: str | None) -> Constant:
    """The encoded constant, not yet part of a session. Raises RainException."""
    if label is not None and not isinstance(label, str):
        raise RainException(f"blob: a label is a text, found {label!r}")
    if encode is not None:
        if content_type is not None:
            raise RainException(
                f"blob: content_type={content_type!r} and encode={encode!r} exclude one another: "
                "content_type is for bytes that are encoded already, encode has Rain encode the value"
            )
        from rain.data.encode import encode_value

        return Constant(encode_value(value, encode), checked_type(encode), label)
    if isinstance(value, str):
        name = checked_type(content_type) or "text"
        try:
            data = value.encode(text_encoding(name) or "utf-8")
        except UnicodeEncodeError as error:
            raise RainException(f"blob: the text cannot be encoded as '{name}': {error}") from None
        return Constant(data, name, label)
    if isinstance(value, bytes):
        return Constant(value, checked_type(content_type), label)
    if isinstance(value, bytearray | memoryview):
        return Constant(bytes(value), checked_type(content_type), label)
    from rain.client.task import Task

    hint = 'say how it becomes bytes, such as blob(value, encode="pickle") or encode="json"'
    if type(value).__name__ == "DataInstance":
        hint = "its bytes make one, blob(instance.get_bytes(), content_type=instance.content_type)"
    elif isinstance(value, DataObject | Task | TaskArray | ObjectArray):
        hint = "it stands for data of the session already, pass it as it is"
    raise RainException(f"blob: expected bytes or str, found {type(value).__name__}: {hint}")


def to_dataobj(value: Any) -> DataObject:
    """The data object that a value stands for: itself, or the only output of a task. Raises RainException."""
    if isinstance(value, DataObject):
        return value
    from rain.client.task import Task

    if isinstance(value, Task):
        return value.output
    hint = ""
    if isinstance(value, str | bytes | bytearray):
        hint = f": make it a constant, blob({type(value).__name__} …)"
    elif isinstance(value, list | tuple):
        hint = ": pass its items one by one"
    elif isinstance(value, TaskArray | ObjectArray):
        hint = ": pass one of its elements, array[0]; tasks.concat and Python functions take it as a whole"
    elif type(value).__name__ == "DataInstance":
        hint = ": make it a constant, blob(instance.get_bytes(), content_type=instance.content_type)"
    raise RainException(f"expected a data object or a task with one output, found {type(value).__name__}{hint}")
