"""The function of a Python task to bytes and back; shipped once per session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rain.core.errors import RainException
from rain.data import pickling


def dump_function(function: Callable[..., Any]) -> bytes:
    """The pickled function, with what it refers to in modules that are not installed.

    Raises RainException where it refers to something that cannot be pickled.
    """
    try:
        return pickling.dumps(function)
    # Pickling runs code of the user's objects, which may raise anything.
    except Exception as error:
        name = getattr(function, "__qualname__", repr(function))
        raise RainException(
            f"{name}() cannot be sent to workers: {error}. A global or enclosing variable that it uses cannot be "
            "pickled; make that value inside the function, or pass what it is made from as an argument."
        ) from error


def load_function(data: bytes) -> Callable[..., Any]:
    """The function that was dumped. Raises whatever importing its modules raises."""
    function: Callable[..., Any] = pickling.loads(data)
    return function
