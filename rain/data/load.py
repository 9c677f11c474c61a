"""Arguments of a Python task from bytes: what `rain.data.dump` wrote."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

#: How `dump` names `input_at`; a pickle without these bytes has no references and takes the fast way.
REFERENCE_NAME = b"input_at"


def input_at(position: int) -> object:
    """Stands in a pickle for the input of the task at this position; `load_call` puts its own resolver here."""
    raise LookupError(f"input {position} has a meaning only while a task's arguments are loaded")


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
        """The object behind a global name; `input_at` is the resolver."""
        if name == "input_at" and module == __name__:
            return self._resolve
        return super().find_class(module, name)
