"""The built-in tasks on blobs: concatenate, load from a file, sleep."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from rain.core.content import settled_type
from rain.core.errors import RainException
from rain.core.kinds import PathArgs, SleepArgs
from rain.core.spec import TaskSpec
from rain.executor.attempt_failed import AttemptFailed
from rain.executor.runner import Notes, Surroundings
from rain.executor.trees import is_directory
from rain.protocol.executor import MAX_PIPE_RESULT, Produced, RunInput, RunTask

_CHUNK_BYTES = 1 << 20

T = TypeVar("T", bound=msgspec.Struct)


class BuiltinRunner:
    """What the built-in runners have in common."""

    slow = True

    def __init__(self, session: int, spec: TaskSpec, surroundings: Surroundings) -> None:
        self._session = session
        self._store = surroundings.store
        self._planned = spec.outputs[0].content_type if spec.outputs else None
        self._name = f"task '{spec.name}'" if spec.name is not None else f"{spec.kind} task"
        self.notes: Notes | None = None

    def _type(self, found: str | None) -> str | None:
        try:
            return settled_type(self._planned, found)
        except RainException as error:
            raise AttemptFailed(f"{self._name}: {error}") from None


class ConcatRunner(BuiltinRunner):
    """The bytes of all inputs in order; the content type is theirs where all have the same."""

    slow = False

    def run(self, task: RunTask) -> tuple[Produced, ...]:
        """One output."""
        if any(is_directory(given) for given in task.inputs):
            raise AttemptFailed(
                f"{self._name}: an input is a directory, which has no bytes to put in a row; SliceDirectory takes a "
                "file out of it, MakeDirectory puts directories together."
            )
        types = {given.content_type for given in task.inputs}
        kind = self._type(types.pop() if len(types) == 1 else None)
        if sum(given.size for given in task.inputs) <= MAX_PIPE_RESULT:
            data = b"".join(map(read_input, task.inputs))
            return (self._store.keep_bytes(self._session, task.first_output, data, kind),)
        parts = [given.path if given.data is None else given.data for given in task.inputs]
        return (self._store.concatenate(self._session, task.first_output, parts, kind),)


class LoadRunner(BuiltinRunner):
    """A file on this machine, or what a URL names, becomes an object."""

    def run(self, task: RunTask) -> tuple[Produced, ...]:
        """One output, a copy: the file stays its owner's, who may change it."""
        path = decoded_args(task.args, PathArgs).path
        if "://" in path:
            return (self._store.concatenate(self._session, task.first_output, _chunks(path), self._type(None)),)
        try:
            if not os.path.isfile(path):
                raise AttemptFailed(_no_file(path))
            return (self._store.concatenate(self._session, task.first_output, [path], self._type(None)),)
        except OSError as error:
            raise AttemptFailed(f"cannot load {path!r} on the worker: {error.strerror}.") from None


class SleepRunner(BuiltinRunner):
    """Passes the input on later."""

    def run(self, task: RunTask) -> tuple[Produced, ...]:
        """One output, the input itself."""
        time.sleep(max(0.0, decoded_args(task.args, SleepArgs).seconds))
        given = task.inputs[0]
        return (Produced(given.size, given.content_type, same_as_input=0, user=given.user),)


def read_input(given: RunInput) -> bytes:
    """The bytes of an input, which should be small."""
    if given.data is not None:
        return given.data
    return Path(given.path or "").read_bytes()


def _chunks(url: str) -> Iterator[bytes]:
    """What the URL names, piece by piece. Raises AttemptFailed."""
    try:
        fsspec = importlib.import_module("fsspec")
    except ImportError:
        raise AttemptFailed(
            f"cannot load {url!r}: the package 'fsspec', which reads URLs, is not installed on the worker: "
            "pip install fsspec"
        ) from None
    try:
        with fsspec.open(url, "rb") as file:
            while data := file.read(_CHUNK_BYTES):
                yield data
    # Each protocol's library has exceptions of its own.
    except Exception as error:
        raise AttemptFailed(f"cannot load {url!r} on the worker: {type(error).__name__}: {error}") from None


def _no_file(path: str) -> str:
    if os.path.isdir(path):
        return f"{path!r} on the worker is a folder; tasks.open() takes a file, LoadDir() a folder."
    if os.path.exists(path):
        return f"{path!r} on the worker is no regular file."
    return f"there is no file {path!r} on the worker. The path is one of the worker's machine, not of the client's."


def decoded_args(args: bytes, kind: type[T]) -> T:
    """The arguments of a built-in task."""
    return msgspec.msgpack.decode(args, type=kind)
