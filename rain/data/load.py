"""Arguments of a Python task from bytes: what `rain.data.dump` wrote."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

#: How `dump` names `input_at`, and how `input_at_each` begins; a pickle without these bytes has no references and takes
#: the fast way.
REFERENCE_NAME = b"input_at"


def input_at(position: int) -> object:
    """Stands in a pickle for the input of the task at this position; `load_call` puts its own resolver here."""
    raise LookupError(f"input {position} has a meaning only while a task's arguments are loaded")


def input_at_each(first: int, count: int) -> list[object]:
    """Stands in a pickle for a list of `count` inputs from this position on, likewise."""
    raise LookupError(f"inputs {first} to {first + count - 1} have a meaning only while a task's arguments are loaded")


def load_call(data: bytes, resolve: Callable[[int], object]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments of a call; references to inputs become what `resolve(position)` returns.

    Raises whatever unpickling the user's values raises.
    """
    if not data:
        return (), {}
    if REFERENCE_NAME in data:
        args, kwargs = _CallUnpickler(io.BytesIO(data), resolve).load()
    else:
        args, kwargs = pickle.loads(data)
    return args, kwargs


class _CallUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, resolve: Callable[[int], object]) -> None:
        super().__init__(file)
        self._resolve = resolve

    def find_class(self, module: str, name: str) -> Any:
        """The object behind a global name; `input_at` and `input_at_each` are the resolver's."""
        if name == "input_at" and module == __name__:
            return self._resolve
        if name == "input_at_each" and module == __name__:
            return self._resolve_each
        return super().find_class(module, name)

    def _resolve_each(self, first: int, count: int) -> list[object]:
        return [self._resolve(position) for position in range(first, first + count)]
