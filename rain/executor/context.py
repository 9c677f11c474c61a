"""What a Python task is given as its first argument, conventionally `ctx`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from rain.core.content import DIRECTORY, checked_type, text_encoding
from rain.core.errors import RainException
from rain.core.ids import object_name, task_name
from rain.core.note import MAX_PROGRESS_TEXT, TaskProgress
from rain.core.resources import UNIT
from rain.core.spec import OutputSpec, TaskSpec
from rain.core.user import decode_user, encode_user
from rain.data.encode import encode_value
from rain.data.instance import DataInstance
from rain.data.tree_files import seal_tree
from rain.executor.runner import Surroundings
from rain.protocol.executor import RunInput, RunTask

#: Sums of fractions miss 0 and 1 by less than this.
_ROUNDING = 1e-9


class TaskFacts:
    """`ctx.spec`: what is known about the task that runs."""

    def __init__(self, session: int, task: RunTask, spec: TaskSpec) -> None:
        self.id = task_name(session, task.task)
        self.name = spec.name
        self.attempt = task.attempt
        self.inputs = tuple(object_name(session, given.object) for given in task.inputs)
        self.outputs: tuple[OutputSpec, ...] = spec.outputs
        request = spec.request
        self.resources: dict[str, float] = {"cpus": request.cpus / UNIT}
        if request.gpus:
            self.resources["gpus"] = request.gpus / UNIT
        if request.memory_bytes:
            self.resources["memory"] = request.memory_bytes
        self.resources.update((name, amount / UNIT) for name, amount in request.named)
        self.user = decode_user(task.user)

    def __repr__(self) -> str:
        return f"<task {self.id}{'' if self.name is None else f' {self.name!r}'}, attempt {self.attempt}>"


class InputFacts:
    """`instance.spec` of an input: what its author said of it."""

    __slots__ = ("_given", "_session", "_user")

    def __init__(self, session: int, given: RunInput) -> None:
        self._session = session
        self._given = given
        self._user: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        """The data object's name everywhere: "s1.o7"."""
        return object_name(self._session, self._given.object)

    @property
    def content_type(self) -> str | None:
        """The content type that it has."""
        return self._given.content_type

    @property
    def user(self) -> dict[str, Any]:
        """What its author attached to it."""
        if self._user is None:
            self._user = decode_user(self._given.spec_user)
        return self._user

    def __repr__(self) -> str:
        return f"<data object {self.id}>"


class OwnInfo:
    """`ctx.info`: what the task tells about itself; `user` is a dict of its own, of what JSON can carry."""

    def __init__(self) -> None:
        self.user: dict[str, Any] = {}


class Context:
    """The running task's way to make results, and to talk beside them. It ends with the task."""

    # No __slots__: cached_property keeps what few tasks ask for out of the cost of all.

    #: How many attributes a context has that no task has asked anything of.
    N_ATTRIBUTES = 5

    def __init__(
        self, session: int, task: RunTask, spec: TaskSpec, function: Callable[..., Any], surroundings: Surroundings
    ) -> None:
        self._session = session
        self._task = task
        self._spec = spec
        self._surroundings = surroundings
        #: The function that runs; the same object for all tasks of it in this executor.
        self.function = function

    @cached_property
    def spec(self) -> TaskFacts:
        """Id, name, attempt, inputs, outputs and resources of the task."""
        return TaskFacts(self._session, self._task, self._spec)

    @cached_property
    def info(self) -> OwnInfo:
        """`info.user` takes what the task wants to have remembered about itself."""
        return OwnInfo()

    @property
    def cpus(self) -> float:
        """How many cpus the task asked for; an int where it is whole."""
        whole, rest = divmod(self._spec.request.cpus, UNIT)
        return whole if rest == 0 else self._spec.request.cpus / UNIT

    @property
    def gpus(self) -> tuple[int, ...]:
        """Which of the worker's gpus are the task's; libraries see these alone, and number them from 0."""
        return self._task.gpus or ()

    def blob(self, value: Any, content_type: str | None = None, encode: str | None = None) -> DataInstance:
        """An instance from bytes, from a str (typed `text`), or, with `encode`, from any value."""
        if encode is not None:
            if content_type is not None:
                raise RainException("ctx.blob() takes either content_type= or encode=, not both.")
            return DataInstance(encode_value(value, encode), content_type=encode)
        if isinstance(value, str):
            name = checked_type(content_type) or "text"
            try:
                return DataInstance(value.encode(text_encoding(name) or "utf-8"), content_type=name)
            except UnicodeEncodeError as error:
                raise RainException(f"ctx.blob(): the text cannot be encoded as '{name}': {error}") from None
        if isinstance(value, bytes | bytearray | memoryview):
            return DataInstance(bytes(value), content_type=content_type)
        raise RainException(
            f"ctx.blob() takes bytes or str, found {type(value).__qualname__}; encode='pickle' takes any value."
        )

    def pickled(self, value: Any) -> DataInstance:
        """The same as `blob(value, encode="pickle")`."""
        return self.blob(value, encode="pickle")

    def stage_file(self, path: str | os.PathLike[str], content_type: str | None = None) -> DataInstance:
        """Moves a file out of the task's folder, as an instance; what is staged and not returned is dropped."""
        checked = checked_type(content_type)
        source = Path(path)
        if source.is_symlink() or not source.is_file():
            found = "a folder" if source.is_dir() else "no regular file" if source.exists() else "not there"
            raise RainException(f"ctx.stage_file({str(path)!r}): a regular file is needed, this one is {found}.")
        if not source.resolve().is_relative_to(Path.cwd().resolve()):
            raise RainException(f"ctx.stage_file({str(path)!r}): the file must lie in the task's folder, {Path.cwd()}.")
        return DataInstance(path=self._staged(source), content_type=checked)

    def stage_directory(self, path: str | os.PathLike[str]) -> DataInstance:
        """Moves a folder out of the task's folder, as an instance; what is staged and not returned is dropped.

        Raises RainException where something in it cannot be part of a directory, such as a link that leads out of it.
        """
        source = Path(path)
        if source.is_symlink() or not source.is_dir():
            found = "a link" if source.is_symlink() else "a file" if source.exists() else "not there"
            raise RainException(f"ctx.stage_directory({str(path)!r}): a folder is needed, this one is {found}.")
        here = Path.cwd().resolve()
        if here not in source.resolve().parents:
            raise RainException(f"ctx.stage_directory({str(path)!r}): it must lie in the task's folder, {here}.")
        seal_tree(source)
        return DataInstance(path=self._staged(source), content_type=DIRECTORY)

    def _staged(self, source: Path) -> Path:
        self._has_staged = True
        folder = Path(self._surroundings.staging)
        folder.mkdir(exist_ok=True)
        staged = folder / f"staged-{len(os.listdir(folder))}"
        shutil.move(source, staged)
        return staged

    @cached_property
    def _has_staged(self) -> bool:
        """Whether the task staged anything."""
        return False

    def debug(self, text: str, *args: Any) -> None:
        """Adds a line, `text.format(*args)`, to the task's debug stream."""
        self._debug_lines.append(text.format(*args) if args else text)

    def progress(self, fraction: float, text: str = "") -> None:
        """Says how far the task is: `fraction` from 0 to 1, and a few words; seen as `task.info.progress`.

        Call it as often as you like: at most ten words a second travel while the task runs, and the last one always
        arrives. A child process that the task forked is not heard. Of a text the first 200 characters are kept.
        Raises RainException for anything else than a number from 0 to 1 and a str.
        """
        said = self._said = TaskProgress(_checked_fraction(fraction), _checked_text(text))
        self._surroundings.outlet.say(self._session, self._task.task, self._task.attempt, said)

    def _last_progress(self) -> TaskProgress | None:
        """What it said last; goes with its report, and not by itself any more."""
        said: TaskProgress | None = self.__dict__.get("_said")
        if said is not None:
            self._surroundings.outlet.withdraw(self._session, self._task.task, self._task.attempt)
        return said

    @cached_property
    def _debug_lines(self) -> list[str]:
        return []

    def _debug_text(self) -> str:
        """All debug lines."""
        lines = self.__dict__.get("_debug_lines")
        return "\n".join(lines).encode(errors="replace").decode() if lines else ""

    def _user_json(self) -> bytes:
        """`info.user` as JSON; b"" where it is empty. Raises RainException for what JSON cannot carry."""
        info = self.__dict__.get("info")
        return b"" if info is None else encode_user(info.user, "ctx.info.user")


def _checked_fraction(fraction: Any) -> float:
    """Also numpy's numbers; what rounding left beside 0 and 1 is taken for those."""
    try:
        if isinstance(fraction, bool | str | bytes):
            raise TypeError
        value = float(fraction)
    except (TypeError, ValueError, OverflowError):
        raise RainException(
            f"ctx.progress(): fraction: expected a number from 0 to 1, found {type(fraction).__name__}"
        ) from None
    if -_ROUNDING <= value <= 1 + _ROUNDING:
        return min(max(value, 0.0), 1.0)
    hint = f"; is it {value:g} percent? Then pass {value:g} / 100" if 1 < value <= 100 else ""
    raise RainException(f"ctx.progress(): fraction: expected a number from 0 to 1, found {value:g}{hint}")


def _checked_text(text: Any) -> str:
    if not isinstance(text, str):
        raise RainException(f"ctx.progress(): text: expected str, found {type(text).__name__}")
    if len(text) > MAX_PROGRESS_TEXT:
        text = text[: MAX_PROGRESS_TEXT - 1] + "…"
    plain: str = text.encode(errors="replace").decode()
    return plain
