"""Runs Python tasks: one `PythonRunner` per spec, which keeps the function."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from rain.core.errors import RainException
from rain.core.ids import object_name
from rain.core.kinds import PythonConfig
from rain.core.spec import TaskSpec
from rain.core.user import decode_user
from rain.data.function import load_function
from rain.data.instance import DataInstance
from rain.data.load import REFERENCE_NAME, load_call
from rain.data.tree_files import tree_fingerprint
from rain.executor.attempt_failed import AttemptFailed
from rain.executor.context import Context, InputFacts
from rain.executor.outputs import OutputCollector, Passed
from rain.executor.quick_calls import CollectedOutputs, QuickCalls, quick_encoding
from rain.executor.runner import Notes, Surroundings
from rain.executor.trees import is_directory, readable_tree, state_after, stored_folder
from rain.executor.workplace import remove_tree
from rain.protocol.executor import Produced, RunInput, RunRange, RunTask

_config_decoder = msgspec.msgpack.Decoder(PythonConfig)
_NO_INPUTS: Passed = {}
#: Told with the error of a task that writes to what numpy protects.
_SHARED = "Large inputs are shared with other tasks and cannot be written to: copy one first, as in `a = a.copy()`."


class PythonRunner:
    """Runs the tasks of one Python function; it is unpickled at the first of them."""

    slow = False

    def __init__(self, session: int, spec: TaskSpec, surroundings: Surroundings) -> None:
        self._session = session
        self._spec = spec
        self._request = spec.request
        self._surroundings = surroundings
        self._config = _config_decoder.decode(spec.config) if spec.config else PythonConfig()
        self._function: Callable[..., Any] | None = None
        #: The function, or what runs it to its end where it is an `async def`.
        self._called: Callable[..., Any] = _not_loaded
        self._name = spec.name or "the function"
        self._staging = surroundings.staging
        self._unpacked = Path(surroundings.scratch, "inputs")
        self._collector = OutputCollector(session, spec, self._name, surroundings.store, self._staging)
        self._quick = quick_encoding(spec)
        self.notes: Notes | None = None

    def may_be_quick(self, given: RunRange) -> bool:
        """Whether the tasks of a range are such that `calls` can be asked."""
        return self._quick is not None and REFERENCE_NAME not in given.args

    def calls(self, given: RunRange, position: int) -> QuickCalls | None:
        """How to call the function for the tasks of a range; None as long as it was not loaded by `run`."""
        if self._quick is None or self._function is None:
            return None
        self._surroundings.shares.enter(self._request, given.gpus)
        function, (encode, content_type) = self._called, self._quick
        if self._config.with_context:
            function = partial(self._call_with_context, given, count(position))
            encode = partial(_unless_collected, encode)
        return QuickCalls(function, encode, content_type, self._name)

    def collect(self, task: RunTask, result: Any) -> tuple[Produced, ...]:
        """The outputs of a task from what a quick call returned. Raises AttemptFailed."""
        if isinstance(result, CollectedOutputs):
            return result.outputs
        return self._collector.collect(task, result, _NO_INPUTS)

    def run(self, task: RunTask) -> tuple[Produced, ...]:
        """Calls the function; raises what it raises, and AttemptFailed for a result that does not suit the outputs."""
        # Before the function is loaded, which imports what it needs.
        self._surroundings.shares.enter(self._request, task.gpus)
        function = self._function or self._loaded()
        context = None
        if self._config.with_context:
            context = Context(self._session, task, self._spec, function, self._surroundings)
        try:
            if not task.args and not task.inputs:
                result = self._called() if context is None else self._called(context)
                return self._collector.collect(task, result, _NO_INPUTS)
            return self._call(task, context)
        finally:
            self._surroundings.folder.restore()
            if context is not None and len(context.__dict__) > Context.N_ATTRIBUTES:
                self._tidy(context, has_failed=sys.exception() is not None)

    def _call(self, task: RunTask, context: Context | None) -> tuple[Produced, ...]:
        inputs = _Inputs(self._session, task.inputs, self._config.load_inputs, self._unpacked)
        try:
            args, kwargs = self._arguments(task, inputs)
            if context is not None:
                args = (context, *args)
            try:
                result = self._called(*args, **kwargs)
            except ValueError as error:
                if "read-only" in str(error):
                    error.add_note(_SHARED)
                raise
            finally:
                changed = inputs.remove_changed()
            if changed is not None:
                raise AttemptFailed(
                    f"{self._name}() changed the files of its input {object_name(self._session, changed)}. They are "
                    "shared with other tasks and must not be written to; write(path) gives a folder of the task's own."
                )
            return self._collector.collect(task, result, inputs.passed)
        finally:
            inputs.clear()

    def _call_with_context(self, given: RunRange, positions: Iterator[int], *args: Any, **kwargs: Any) -> Any:
        task = given.single(next(positions), b"", len(self._spec.outputs))
        context = Context(self._session, task, self._spec, self._function or _not_loaded, self._surroundings)
        try:
            result = self._called(context, *args, **kwargs)
            # What it staged is not there any more when it is done with.
            return (
                result
                if len(context.__dict__) == Context.N_ATTRIBUTES
                else CollectedOutputs(self.collect(task, result))
            )
        finally:
            if len(context.__dict__) > Context.N_ATTRIBUTES:
                self._tidy(context, has_failed=sys.exception() is not None)

    def _arguments(self, task: RunTask, inputs: _Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
        try:
            return load_call(task.args, inputs.resolve)
        except RainException:
            raise
        # Unpickling runs the user's own __setstate__ and imports the user's modules.
        except Exception as error:
            error.add_note(f"while the arguments of {self._name}() were unpickled on the worker")
            raise

    def _loaded(self) -> Callable[..., Any]:
        try:
            self._function = load_function(self._spec.body)
        except Exception as error:  # imports the user's modules
            error.add_note(
                f"while {self._name}() was unpickled on the worker: is everything it imports installed there?"
            )
            raise
        is_async = inspect.iscoroutinefunction(self._function)
        self._called = _run_to_end(self._function) if is_async else self._function
        return self._function

    def _tidy(self, context: Context, *, has_failed: bool) -> None:
        """Takes the notes of a task that made any, and drops what it staged and did not return."""
        if context._has_staged:
            remove_tree(self._staging)
        self.notes = Notes(context._debug_text(), progress=context._last_progress())
        try:
            self.notes.user = context._user_json()
        except RainException:
            # What the task raised is told, not what is wrong with its notes.
            if not has_failed:
                raise


def _unless_collected(encode: Callable[[Any], bytes], result: Any) -> bytes:
    if isinstance(result, CollectedOutputs):
        raise TypeError
    return encode(result)


def _not_loaded(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError("a function is loaded before it is called")


def _run_to_end(function: Callable[..., Any]) -> Callable[..., Any]:
    # Few tasks need it, and it takes its time.
    import asyncio

    def called(*args: Any, **kwargs: Any) -> Any:
        return asyncio.run(function(*args, **kwargs))

    return called


class _Inputs:
    """The inputs of one task, made when its arguments are loaded; each once, so that sharing is preserved."""

    __slots__ = ("_given", "_has_unpacked", "_load", "_made", "_session", "_trees", "_unpacked", "passed")

    def __init__(self, session: int, given: tuple[RunInput, ...], load: bool, unpacked: Path) -> None:
        self._session = session
        self._given = given
        self._load = load
        self._made: dict[int, Any] = {}
        self.passed: dict[int | str, int] = {}
        #: Where directories lie that came as a tar.
        self._unpacked = unpacked
        self._has_unpacked = False
        #: The state of the store's folders that the task can write to although it must not, by object.
        self._trees: dict[int, tuple[Path, str]] = {}

    def remove_changed(self) -> int | None:
        """Removes directories, which are the store's own files, that the task changed; the last one of them."""
        found = None
        for obj, (folder, before) in self._trees.items():
            if state_after(folder) != before:
                remove_tree(str(folder))
                found = obj
        return found

    def clear(self) -> None:
        """Removes what was made for the task."""
        if self._has_unpacked:
            remove_tree(str(self._unpacked))

    def resolve(self, position: int) -> Any:
        """What the function gets for the input at this position."""
        if position in self._made:
            return self._made[position]
        given = self._given[position]
        folder = self._folder(position) if is_directory(given) else None
        instance = DataInstance(
            given.data if folder is None else None,
            path=folder or (None if given.data is not None else given.path),
            content_type=given.content_type,
            size=given.size,
            spec=InputFacts(self._session, given),
        )
        if given.user:
            instance.info.user = decode_user(given.user)
        value: Any = instance
        if self._load:
            value = instance.get_bytes() if instance.content_type is None else instance.load()
        if folder is not None:
            self.passed[str(folder)] = position
        elif value is not instance:
            return self._made.setdefault(position, value)
        elif given.data is not None:
            self.passed[id(given.data)] = position
        elif given.path is not None:
            self.passed[given.path] = position
        self._made[position] = value
        return value

    def _folder(self, position: int) -> Path:
        given = self._given[position]
        stored = stored_folder(given)
        if stored is None:
            self._has_unpacked = True
            return readable_tree(given, self._unpacked / str(position))
        self._trees[given.object] = (stored, tree_fingerprint(stored))
        return stored
