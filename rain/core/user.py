"""What users attach to tasks and objects (`spec.user`, `info.user`): a dict of what JSON can carry, as bytes."""

from __future__ import annotations

import json
import math
from typing import Any

from rain.core.errors import RainException

#: JSON of one task or object; what is larger is data, and belongs into a data object.
MAX_USER_BYTES = 64 << 10


def encode_user(user: object, what: str) -> bytes:
    """The JSON of a dict; b"" of an empty one.

    `what`: the dict as its author wrote it, such as "ctx.info.user". Raises RainException for what JSON cannot carry.
    """
    if type(user) is dict and not user:
        return b""
    if not isinstance(user, dict):
        raise RainException(f"{what}: expected a dict, found {type(user).__name__}")
    try:
        _check(user, what)
        data = json.dumps(user, separators=(",", ":")).encode()
    except RecursionError:
        raise RainException(f"{what}: it is nested too deeply, or contains itself") from None
    except ValueError as error:
        raise RainException(f"{what}: it cannot be written as JSON: {error}") from None
    if len(data) > MAX_USER_BYTES:
        raise RainException(
            f"{what}: it has {len(data)} bytes as JSON, at most {MAX_USER_BYTES} can be attached: "
            "make a data object of what is larger"
        )
    return data


def decode_user(data: bytes) -> dict[str, Any]:
    """The dict; an empty one for no bytes, and for bytes that are no JSON of a dict."""
    if not data:
        return {}
    try:
        found = json.loads(data)
    # They may come from a task, which may write what it likes.
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _check(value: object, where: str) -> None:
    """Raises RainException for the first value, named by `where`, that would not come back from JSON."""
    if value is None or isinstance(value, str | bool | int):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RainException(f"{where}: JSON knows no {value}; None or a text can stand for it")
    elif isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise RainException(f"{where}: expected texts as keys, found {key!r}")
            _check(each, f"{where}[{key!r}]")
    elif isinstance(value, list | tuple):
        for place, each in enumerate(value):
            _check(each, f"{where}[{place}]")
    else:
        raise RainException(
            f"{where}: expected what JSON can carry (dict, list, str, int, float, bool, None), "
            f"found {type(value).__name__}"
        )
