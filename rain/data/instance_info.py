"""What is known of a data object where its value is: the `info` of an instance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class InstanceInfo:
    """The facts that an object's own `info` has, as far as they are known beside its value.

    `user` may be written to: what a task leaves in the one of an input goes with the input when it is passed on.
    """

    #: Bytes.
    size: int
    content_type: str | None
    user: dict[str, Any] = field(default_factory=dict)
    #: There is a value, so nothing went wrong; `obj.update()` tells what its task said.
    error: None = None
    debug: str = ""
