"""Arguments of a Python task to bytes: data objects wherever they are become references to inputs by position."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import GeneratorType
from typing import Any

from rain.core.errors import RainException
from rain.data.load import input_at, input_at_each
from rain.data.pickling import PROTOCOL, ShippingPickler

#: Says which input of the task a value is; of a list of inputs the first and how many; None for any other value. It is
#: asked for everything but plain values, may be asked about one value repeatedly, and must answer alike then.
IsReference = Callable[[object], "int | tuple[int, int] | None"]

#: Exact types that contain nothing: no data object can hide in them, and the standard pickler is all they need.
_ATOMS = frozenset({int, str, float, bool, bytes, complex, type(None)})

#: How deep the culprit of an error is looked for.
_MAX_DEPTH = 6


def dump_call(
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    is_reference: IsReference,
    *,
    function: str = "the function",
    parameters: Sequence[str] = (),
) -> bytes:
    """The bytes that `load_call` reads; b"" for a call without arguments.

    `function` and `parameters` (names of the positional arguments) only serve the text of an error.
    Raises RainException for an argument that cannot be pickled; the text names it.
    """
    if not args and not kwargs:
        return b""
    for value in args:
        if type(value) not in _ATOMS:
            break
    else:
        for value in kwargs.values():
            if type(value) not in _ATOMS:
                break
        else:
            return pickle.dumps((tuple(args), kwargs), PROTOCOL)
    try:
        return _dump((tuple(args), dict(kwargs)), is_reference)
    except RainException:
        raise
    # Pickling runs the user's own __reduce__ and __getstate__, which may raise anything.
    except Exception as error:
        names = [parameters[i] if i < len(parameters) else f"number {i + 1}" for i in range(len(args))]
        named = [*zip(names, args, strict=True), *kwargs.items()]
        raise _culprit(function, named, is_reference, error) from error


class _CallPickler(ShippingPickler):
    def __init__(self, file: io.BytesIO, is_reference: IsReference) -> None:
        super().__init__(file)
        self._is_reference = is_reference

    def reducer_override(self, obj: Any) -> Any:
        """Called by the C pickler for everything but plain builtin values."""
        position = self._is_reference(obj)
        if isinstance(position, int):
            return input_at, (position,)
        if position is not None:
            return input_at_each, position
        if type(obj) is GeneratorType:
            # Its frame cannot travel, what it yields can: it arrives as an iterator over the same values.
            return iter, (list(obj),)
        return super().reducer_override(obj)


def _dump(value: object, is_reference: IsReference) -> bytes:
    file = io.BytesIO()
    with _CallPickler(file, is_reference) as pickler:
        pickler.dump(value)
    return file.getvalue()


def _culprit(
    function: str, arguments: Sequence[tuple[str, object]], is_reference: IsReference, error: Exception
) -> RainException:
    """The error that names the argument, and where in it the value is that cannot be pickled."""
    hint = "pass what it is made from instead, and make it inside the task"
    for name, value in arguments:
        cause = _refusal(value, is_reference)
        if cause is None:
            continue
        path, found, cause = _innermost(name, value, cause, is_reference)
        where = "" if path == name else f" at {path}"
        shown = f"argument '{name}' of {function}()" if function != "the function" else f"argument '{name}'"
        return RainException(f"{shown}: {cause}{where} (of type {_type_name(found)}); {hint}.")
    return RainException(f"arguments of {function}(): {error}; {hint}.")


def _refusal(value: object, is_reference: IsReference) -> Exception | None:
    try:
        _dump(value, is_reference)
    except Exception as error:  # the user's own code runs here
        return error
    return None


def _innermost(name: str, value: object, cause: Exception, is_reference: IsReference) -> tuple[str, object, Exception]:
    path = name
    for _ in range(_MAX_DEPTH):
        for step, part in _parts(value):
            deeper = _refusal(part, is_reference)
            if deeper is not None:
                path, value, cause = path + step, part, deeper
                break
        else:
            break
    return path, value, cause


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if type(value).__module__.startswith("rain."):
        return  # a session, a client: what they are made of tells their user nothing
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from (("{…}", part) for part in value)
    elif hasattr(value, "__code__") and getattr(value, "__closure__", None):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)  # type: ignore[attr-defined]
        yield from ((f"'s variable '{name}'", cell.cell_contents) for name, cell in cells)
    elif isinstance(getattr(value, "__dict__", None), dict) and not isinstance(value, type):
        yield from ((f".{name}", part) for name, part in vars(value).items())


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
