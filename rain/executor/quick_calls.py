"""Calls of one Python function for tasks that read no inputs: what a task array asks for, mostly.

What can be known once for all tasks of a range is worked out before the first of them.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from rain.core.content import DIRECTORY, settled_type
from rain.core.errors import RainException
from rain.core.spec import TaskSpec
from rain.data.encode import encode_value
from rain.protocol.executor import Produced


class CollectedOutputs(NamedTuple):
    """The outputs of a task that had to be taken before its call returned."""

    outputs: tuple[Produced, ...]


class QuickCalls(NamedTuple):
    """How the tasks of a range run, from some position on, in order."""

    #: Called with the arguments of the next task; raises what the task raises.
    function: Callable[..., Any]
    #: The bytes of a result. Whatever it raises, that result is to be collected in the general way.
    encode: Callable[[Any], bytes]
    #: Of those bytes.
    content_type: str | None
    #: Of the function, for texts.
    name: str


def quick_encoding(spec: TaskSpec) -> tuple[Callable[[Any], bytes], str | None] | None:
    """`QuickCalls.encode` and `QuickCalls.content_type` for tasks of this spec; None where each result is collected."""
    if not spec.outputs:
        return _nothing, None
    if len(spec.outputs) > 1:
        return None
    [output] = spec.outputs
    try:
        kind = settled_type(output.content_type, output.encode)
    except RainException:
        return None
    if kind == DIRECTORY:
        return None
    if output.encode is None:
        return _same_bytes, kind
    return pickle.dumps if output.encode == "pickle" else partial(encode_value, content_type=output.encode), kind


def _nothing(result: Any) -> bytes:
    if result is None:
        return b""
    raise TypeError


def _same_bytes(result: Any) -> bytes:
    if type(result) is bytes:
        return result
    raise TypeError
