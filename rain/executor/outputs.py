"""What a Python task returned, as outputs: one rule per kind of value, and a text that teaches for all others."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from rain.core.content import DIRECTORY, settled_type, text_encoding
from rain.core.errors import RainException
from rain.core.labeled import LabeledList
from rain.core.spec import OutputSpec, TaskSpec
from rain.core.user import encode_user
from rain.data.encode import encode_value, unfinished_advice
from rain.data.instance import DataInstance, source_of
from rain.data.tree_files import link_tree, seal_tree
from rain.data.tree_removal import remove_tree
from rain.data.unpack import unpack
from rain.executor.attempt_failed import AttemptFailed
from rain.executor.results import ResultStore
from rain.protocol.executor import MAX_PIPE_RESULT, Produced, RunTask

#: The inputs that were handed to the task: their positions by the path of the stored file, or by the `id()` of the
#: bytes, which live as long as the task runs. So an input is known again when it was given another type on the way.
Passed = Mapping[int | str, int]


class OutputCollector:
    """Turns what tasks of one spec return into outputs."""

    def __init__(self, session: int, spec: TaskSpec, name: str, store: ResultStore, scratch: str) -> None:
        self._session = session
        self._outputs = spec.outputs
        self._name = name
        self._store = store
        self._scratch = scratch + "/"
        self._only = spec.outputs[0] if len(spec.outputs) == 1 else None
        #: Nothing is said about the only output, so bytes are what they are.
        self._plain = self._only is not None and self._only.encode is None and self._only.content_type is None

    def collect(self, task: RunTask, result: Any, passed: Passed) -> tuple[Produced, ...]:
        """The outputs in the order of the spec. Raises AttemptFailed where the result does not suit them."""
        if self._plain and type(result) is bytes and len(result) <= MAX_PIPE_RESULT:
            return (Produced(len(result), None, result),)
        if self._only is not None:
            return (self._produced(self._only, task.first_output, result, passed),)
        if not self._outputs:
            if result is None:
                return ()
            raise AttemptFailed(
                f"{self._name}() returned {_shown(result)}, but it has no outputs: return None, or declare outputs=1."
            )
        values = self._in_order(result)
        return tuple(
            self._produced(output, task.first_output + number, value, passed)
            for number, (output, value) in enumerate(zip(self._outputs, values, strict=True))
        )

    def _in_order(self, result: Any) -> list[Any]:
        wanted = len(self._outputs)
        labels = [output.label for output in self._outputs]
        shown = ", ".join("without a label" if label is None else repr(label) for label in labels)
        if isinstance(result, LabeledList) and len(result) and all(label is not None for label, _ in result.items()):
            result = dict(result.items())
        if isinstance(result, Mapping):
            if set(result) != set(labels) or None in labels:
                raise AttemptFailed(
                    f"{self._name}() returned a mapping with the keys {sorted(map(repr, result))}, but its outputs are "
                    f"{shown}: return a mapping with exactly these labels, or a sequence of {wanted} values."
                )
            return [result[label] for label in labels]
        if isinstance(result, LabeledList) or (
            isinstance(result, Sequence) and not isinstance(result, str | bytes | bytearray | memoryview)
        ):
            if len(result) != wanted:
                raise AttemptFailed(
                    f"{self._name}() returned {len(result)} values, but it has {wanted} outputs ({shown})."
                )
            return list(result)
        raise AttemptFailed(
            f"{self._name}() returned {_shown(result)}, but it has {wanted} outputs ({shown}): "
            f"return a sequence of {wanted} values, or a mapping by label."
        )

    def _produced(self, output: OutputSpec, obj: int, value: Any, passed: Passed) -> Produced:
        where = f"output {output.label!r} of {self._name}()" if output.label is not None else f"{self._name}()"
        try:
            if isinstance(value, DataInstance):
                user = encode_user(value.info.user, "info.user")
                produced = self._from_instance(output, obj, value, passed)
                return replace(produced, user=user) if user else produced
            if output.encode is not None:
                data = encode_value(value, output.encode)
                kind = settled_type(output.content_type, output.encode)
            elif isinstance(value, str):
                # The planned type may be a text with another encoding.
                encoding = text_encoding(output.content_type)
                data = value.encode(encoding or "utf-8")
                kind = output.content_type if encoding is not None else settled_type(output.content_type, "text")
            elif isinstance(value, bytes | bytearray | memoryview):
                data, kind = bytes(value), output.content_type
            else:
                raise AttemptFailed(_wrong_value(where, value))
        except RainException as error:
            raise AttemptFailed(f"{where} returned {_shown(value)}: {error}") from error.__cause__
        except UnicodeEncodeError as error:
            raise AttemptFailed(f"{where} returned a str that cannot be encoded: {error}") from None
        if kind == DIRECTORY:
            return self._from_tar(obj, data, kind, where)
        return self._store.keep_bytes(self._session, obj, data, kind)

    def _from_instance(self, output: OutputSpec, obj: int, instance: DataInstance, passed: Passed) -> Produced:
        if instance.content_type == DIRECTORY and output.content_type not in {None, DIRECTORY}:
            raise RainException(f"it is a directory, and {output.content_type!r} was planned: declare an OutputDir")
        kind = settled_type(output.content_type, instance.content_type)
        source = source_of(instance)
        position = passed.get(id(source) if isinstance(source, bytes) else os.fspath(source))
        if position is not None:
            return Produced(instance.size, kind, same_as_input=position)
        if kind == DIRECTORY:
            return self._directory(obj, source, kind)
        if isinstance(source, bytes):
            return self._store.keep_bytes(self._session, obj, source, kind)
        path = source
        if os.fspath(path).startswith(self._scratch):
            # It went with the output before.
            if not path.exists():
                raise RainException("a staged file was returned as two outputs; stage it once for each")
            return self._store.move_file(self._session, obj, os.fspath(path), kind)
        return self._store.concatenate(self._session, obj, [os.fspath(path)], kind)

    def _directory(self, obj: int, source: bytes | Path, kind: str) -> Produced:
        """A folder that was staged is moved, one of somebody else's copied, a tar unpacked."""
        if not isinstance(source, bytes) and os.fspath(source).startswith(self._scratch):
            if not source.exists():
                raise RainException("a staged folder was returned as two outputs; stage it once for each")
            return self._store.move_tree(self._session, obj, source, kind)
        tree = Path(self._scratch, f"made-{obj}")
        tree.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            if isinstance(source, bytes) or not source.is_dir():
                unpack(source, tree, read_only=True)
            else:
                link_tree(source, tree, write=True)
                seal_tree(tree)
            return self._store.move_tree(self._session, obj, tree, kind)
        finally:
            remove_tree(tree)

    def _from_tar(self, obj: int, data: bytes, kind: str, where: str) -> Produced:
        try:
            return self._directory(obj, data, kind)
        except RainException as error:
            raise AttemptFailed(
                f"{where} returned bytes for a directory: {error} ctx.stage_directory(path) makes one of a folder."
            ) from None


def _wrong_value(where: str, value: Any) -> str:
    if value is None:
        return (
            f"{where} returned None, but it has an output: return its value, "
            "or declare outputs=0 if there is none to return."
        )
    unfinished = unfinished_advice(value)
    if unfinished:
        return f"{where} returned {_shown(value)}: {unfinished}."
    if isinstance(value, os.PathLike):
        return (
            f"{where} returned {_shown(value)}: the task's folder goes with the task; return ctx.stage_file(path), "
            "or ctx.stage_directory(path) for an OutputDir."
        )
    return (
        f"{where} returned {_shown(value)}; bytes, str or a DataInstance are needed. Declare "
        "Output(encode='pickle') to return any value, or return ctx.blob(value, encode='pickle')."
    )


def _shown(value: Any) -> str:
    return "None" if value is None else f"a value of type {type(value).__qualname__}"
