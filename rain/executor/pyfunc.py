"""Runs Python tasks: one `PythonRunner` per spec, which keeps the function."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from rain.core.errors import RainException
from rain.core.kinds import PythonConfig
from rain.core.spec import TaskSpec
from rain.data.function import load_function
from rain.data.instance import DataInstance
from rain.data.load import load_call
from rain.executor.context import Context
from rain.executor.outputs import OutputCollector, Passed
from rain.executor.runner import Notes, Surroundings
from rain.executor.shares import with_share
from rain.executor.workplace import remove_tree
from rain.protocol.executor import Produced, RunInput, RunTask

_config_decoder = msgspec.msgpack.Decoder(PythonConfig)
_NO_INPUTS: Passed = {}


class PythonRunner:
    """Runs the tasks of one Python function; it is unpickled at the first of them."""

    slow = False

    def __init__(self, session: int, spec: TaskSpec, surroundings: Surroundings) -> None:
        self._session = session
        self._spec = spec
        self._surroundings = surroundings
        self._config = _config_decoder.decode(spec.config) if spec.config else PythonConfig()
        self._function: Callable[..., Any] | None = None
        self._name = spec.name or "the function"
        self._staging = f"{surroundings.scratch}/staged"
        self._collector = OutputCollector(session, spec, self._name, surroundings.store, self._staging)
        self.notes: Notes | None = None

    def run(self, task: RunTask) -> tuple[Produced, ...]:
        """Calls the function; raises what it raises, and AttemptFailed for a result that does not suit the outputs."""
        function = self._function or self._loaded()
        context = None
        if self._config.with_context:
            context = Context(self._session, task, self._spec, function, self._staging)
        try:
            if not task.args and not task.inputs:
                result = function() if context is None else function(context)
                return self._collector.collect(task, result, _NO_INPUTS)
            return self._call(function, task, context)
        finally:
            self._surroundings.folder.restore()
            if context is not None and len(context.__dict__) > Context.N_ATTRIBUTES:
                self._tidy(context)

    def _call(self, function: Callable[..., Any], task: RunTask, context: Context | None) -> tuple[Produced, ...]:
        inputs = _Inputs(task.inputs, self._config.load_inputs)
        args, kwargs = self._arguments(task, inputs)
        if context is not None:
            args = (context, *args)
        return self._collector.collect(task, function(*args, **kwargs), inputs.passed)

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
        # Libraries read it when they are imported, which is now or in the first task.
        os.environ.update(with_share(self._surroundings.environment, self._spec.request))
        try:
            self._function = load_function(self._spec.body)
        except Exception as error:  # imports the user's modules
            error.add_note(
                f"while {self._name}() was unpickled on the worker: is everything it imports installed there?"
            )
            raise
        return self._function

    def _tidy(self, context: Context) -> None:
        """Takes the notes of a task that made any, and drops what it staged and did not return."""
        if context.has_staged:
            remove_tree(self._staging)
        self.notes = Notes(context.debug_text())
        # What the task raised is told, not what is wrong with its notes.
        if sys.exception() is None:
            self.notes.user = context.user_json()


class _Inputs:
    """The inputs of one task, made when its arguments are loaded; each once, so that sharing is preserved."""

    __slots__ = ("_given", "_load", "_made", "passed")

    def __init__(self, given: tuple[RunInput, ...], load: bool) -> None:
        self._given = given
        self._load = load
        self._made: dict[int, Any] = {}
        self.passed: dict[int | str, int] = {}

    def resolve(self, position: int) -> Any:
        """What the function gets for the input at this position."""
        if position in self._made:
            return self._made[position]
        given = self._given[position]
        instance = DataInstance(
            given.data,
            path=None if given.data is not None else given.path,
            content_type=given.content_type,
            size=given.size,
        )
        value: Any = instance
        if self._load:
            value = instance.get_bytes() if instance.content_type is None else instance.load()
        elif given.data is not None:
            self.passed[id(given.data)] = position
        elif given.path is not None:
            self.passed[given.path] = position
        self._made[position] = value
        return value
