"""The pickled functions of a session: sent once, and looked at anew after each submit.

A function takes along what it refers to. In a notebook that changes between cells (`factor = 6`) while the function
object stays the same. So its first call after a submit looks again; if it pickles to other bytes, it is sent again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from rain.core.errors import RainException

#: A pickled function travels within a message.
MAX_FUNCTION_BYTES = 32 << 20

#: Exact types of values that never change, by identity: the type of a type may have an equality of its own.
_FIXED = frozenset(
    id(kind)
    for kind in (
        *(int, float, complex, bool, str, bytes, range, object, CodeType, BuiltinFunctionType),
        *(type(None), type(...), type(NotImplemented)),
    )
)
#: What a function refers to is followed this far; a larger one is pickled again.
_MAX_PARTS = 500
#: A global that is not there.
_ABSENT = object()


class ShippedFunctions:
    """By the key of whoever calls them (by identity); threads may share it, at worst they do the same twice."""

    __slots__ = ("_bodies", "_fresh", "numbers")

    def __init__(self) -> None:
        #: Numbers of specs of calls without options of their own, since the last submit.
        self.numbers: dict[object, int] = {}
        self._bodies: dict[object, tuple[bytes, list[object] | None]] = {}
        #: Keys of what was looked at since the last submit.
        self._fresh: set[object] = set()

    def body(self, key: object, function: Callable[..., Any], name: str) -> bytes:
        """The pickled function. Raises RainException where it cannot be sent."""
        body, parts = self._bodies.get(key, (None, None))
        if body is not None and key in self._fresh:
            return body
        found = parts_of(function)
        if body is None or parts is None or found is None or not _are_same(parts, found):
            pickled = _dumped(function, name)
            # The same object where nothing has changed: its hash is known.
            body = body if pickled == body else pickled
            self._bodies[key] = (body, found)
        self._fresh.add(key)
        return body

    def submitted(self) -> None:
        """Every function is looked at again."""
        self.numbers = {}
        self._fresh = set()


def parts_of(function: Callable[..., Any]) -> list[object] | None:
    """What the pickled function is made of, where all of it can only be replaced; None where it may change in place.

    The same parts (by identity) mean the same function.
    """
    parts: list[object] = []
    seen: set[int] = set()
    left: list[object] = [function]
    while left:
        part = left.pop()
        parts.append(part)
        if len(parts) > _MAX_PARTS:
            return None
        if id(type(part)) in _FIXED or id(part) in seen or _goes_by_name(part):
            continue
        seen.add(id(part))
        if type(part) is tuple or type(part) is frozenset:
            left.extend(part)
        elif type(part) is FunctionType and not part.__dict__:
            left.extend(_references(part))
        else:
            return None
    return parts


def _references(function: FunctionType) -> Iterator[object]:
    """The values that a function refers to, where it keeps them."""
    yield function.__code__
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            # Nothing is assigned yet.
            yield _ABSENT
    for name in dict.fromkeys(_names(function.__code__)):
        yield function.__globals__.get(name, _ABSENT)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _are_same(parts: list[object], others: list[object]) -> bool:
    return len(parts) == len(others) and all(a is b for a, b in zip(parts, others, strict=True))


def _goes_by_name(part: object) -> bool:
    """Whether it is a function, class or module of an installed module, of which no more than the name is sent."""
    from rain.data.pickling import is_local_module

    # Not `isinstance`, which would run `__class__` of foreign proxies.
    is_module = issubclass(type(part), ModuleType)
    if not is_module and not issubclass(type(part), FunctionType | type):
        return False
    name = getattr(part, "__name__" if is_module else "__module__", None)
    module = sys.modules.get(name) if isinstance(name, str) and name != "__main__" else None
    if module is None or is_local_module(module):
        return False
    found: Any = module
    for step in () if is_module else str(getattr(part, "__qualname__", "")).split("."):
        found = getattr(found, step, None)
    return found is part


def _dumped(function: Callable[..., Any], name: str) -> bytes:
    from rain.data.function import dump_function

    body = dump_function(function)
    if len(body) > MAX_FUNCTION_BYTES:
        raise RainException(
            f"{name}() pickles to {len(body)} bytes, at most {MAX_FUNCTION_BYTES} can be sent: pass the "
            "large values that it refers to as arguments, blob(…)"
        )
    return body
