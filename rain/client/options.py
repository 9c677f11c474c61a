"""What every kind of task can be told: name, tries, priority, time limit, resources. Checked where it is said."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from rain.core.errors import RainException
from rain.core.resources import UNIT, Request

if TYPE_CHECKING:
    from rain.client.session import Session

_MEMORY_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_BUILT_IN = ("cpus", "gpus", "memory")
_MAX_AMOUNT = 2**31 // UNIT


class TaskOptions(TypedDict, total=False):
    """The keyword arguments that every task, and every call that makes one, takes."""

    session: Session | None
    name: str | None
    #: How often a failed attempt is tried again.
    retries: int | None
    #: Higher runs first within a session.
    priority: int | None
    #: Seconds that an attempt may run.
    timeout: float | None
    #: Default 1; fractions are fine.
    cpus: float | None
    gpus: float | None
    #: Bytes, or a text such as "4 GiB".
    memory: int | str | None
    #: Named resources that workers were told to offer.
    resources: Mapping[str, float] | None


OPTION_NAMES = frozenset(TaskOptions.__annotations__)


class Settings(msgspec.Struct, frozen=True):
    """Checked options, in the form of a `TaskSpec`."""

    name: str | None = None
    request: Request = Request()
    retries: int = 0
    priority: int = 0
    timeout_s: float | None = None


#: What holds for a task that was told nothing.
DEFAULTS = Settings()


def settings_from(options: Mapping[str, Any], what: str) -> Settings:
    """The options of a call, None meaning the default.

    Raises TypeError for a name that is no option, RainException for a value that cannot be.
    """
    if not options:
        return DEFAULTS
    unknown = [name for name in options if name not in OPTION_NAMES]
    if unknown:
        raise TypeError(f"{what} got an unexpected keyword argument '{unknown[0]}'")
    name = options.get("name")
    if name is not None and not isinstance(name, str):
        raise RainException(f"name: expected a text or None, found {name!r}")
    timeout = options.get("timeout")
    if timeout is not None and not (is_number(timeout) and timeout > 0):
        raise RainException(f"timeout: expected seconds above 0 or None, found {timeout!r}")
    if name is not None:
        check_unicode(name, "name")
    return Settings(
        name=name,
        request=request_from(options),
        retries=_whole("retries", options.get("retries"), 0, 10**6),
        priority=_whole("priority", options.get("priority"), -(2**31), 2**31 - 1),
        timeout_s=None if timeout is None else float(timeout),
    )


def request_from(options: Mapping[str, Any]) -> Request:
    """The resources among the options. Raises RainException."""
    named = options.get("resources")
    if named is None:
        named = {}
    if not isinstance(named, Mapping):
        raise RainException(f'resources: expected a dict such as {{"license": 1}}, found {named!r}')
    for name in named:
        if not isinstance(name, str) or not name:
            raise RainException(f"resources: expected names of resources as keys, found {name!r}")
        if name in _BUILT_IN:
            raise RainException(f"resources: '{name}' has an argument of its own: write {name}={named[name]!r}")
    cpus, gpus = options.get("cpus"), options.get("gpus")
    return Request(
        cpus=UNIT if cpus is None else _amount("cpus", cpus),
        gpus=0 if gpus is None else _amount("gpus", gpus),
        memory_bytes=parse_memory(options.get("memory")),
        named=tuple(sorted((name, _amount(name, amount)) for name, amount in named.items())),
    )


def parse_memory(memory: object) -> int:
    """Bytes from a number of bytes or a text such as "4 GiB"; None is 0. Raises RainException."""
    if memory is None:
        return 0
    if isinstance(memory, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", memory)
        unit = _MEMORY_UNITS.get(match[2].lower()) if match else None
        if match and unit is not None:
            return math.ceil(float(match[1]) * unit)
    elif isinstance(memory, int) and not isinstance(memory, bool) and 0 <= memory < 2**63:
        return memory
    raise RainException(f'memory: expected bytes or a text such as "4 GiB" or "500 MB", found {memory!r}')


def describe_request(request: Request) -> dict[str, Any]:
    """The resources as a user writes them: `{"cpus": 1, "license": 2}`; what is not asked for is left out."""
    found: dict[str, Any] = {"cpus": _plain(request.cpus)}
    if request.gpus:
        found["gpus"] = _plain(request.gpus)
    if request.memory_bytes:
        found["memory"] = request.memory_bytes
    found.update((name, _plain(amount)) for name, amount in request.named)
    return found


def request_of(described: Mapping[str, Any]) -> Request:
    """The way back from `describe_request`. Raises RainException."""
    named = {name: amount for name, amount in described.items() if name not in _BUILT_IN}
    return request_from({**{name: described[name] for name in _BUILT_IN if name in described}, "resources": named})


def _plain(amount: int) -> float | int:
    return amount // UNIT if amount % UNIT == 0 else amount / UNIT


def _amount(name: str, value: object) -> int:
    if not is_number(value) or not 0 <= value <= _MAX_AMOUNT:  # type: ignore[operator]
        raise RainException(f"{name}: expected a number from 0 to {_MAX_AMOUNT}, found {value!r}")
    units = float(value) * UNIT  # type: ignore[arg-type]
    if value and round(units) == 0:
        raise RainException(f"{name}: the smallest amount is {1 / UNIT:g}, found {value!r}")
    return round(units)


def _whole(name: str, value: object, low: int, high: int) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise RainException(f"{name}: expected a whole number from {low} to {high}, found {value!r}")
    return value


def check_unicode(text: str, what: str) -> None:
    """Raises RainException for a text with lone surrogates, such as a file name that is not UTF-8: it has no bytes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RainException(f"{what}: {text!r} is no Unicode text ({error.reason})") from None


def is_number(value: object) -> bool:
    """Whether a value is a finite number; truth values and texts are none."""
    return hasattr(value, "__float__") and not isinstance(value, bool | str) and math.isfinite(value)
