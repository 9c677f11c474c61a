"""What the author of a graph says about a task, apart from its inputs and its arguments.

Tasks that are alike share one `TaskSpec`: a million calls of one function carry it once. Everything that differs from
task to task travels in columns (inputs) or as opaque bytes (arguments), see `core.kinds`.
"""

from __future__ import annotations

import msgspec

from rain.core.resources import Request


class OutputSpec(msgspec.Struct, frozen=True, array_like=True):
    """One declared output of a task."""

    #: The label by which `task.outputs[label]` finds it; unique within a task; None for an unlabelled one.
    label: str | None = None
    #: The planned content type; the one that the task sets wins and must be a subtype of this one.
    content_type: str | None = None
    #: Values that are returned are encoded as this content type; None: bytes, str or an instance must be returned.
    encode: str | None = None
    #: Programs: the path below the working folder where the output is found; None for standard output.
    path: str | None = None
    is_directory: bool = False


class TaskSpec(msgspec.Struct, frozen=True):
    """What tasks that are alike have in common; immutable and hashable, so that a session interns it."""

    #: One of `core.kinds.Kind`.
    kind: str
    #: The name that views show; a Python task has its function's, others None.
    name: str | None = None
    outputs: tuple[OutputSpec, ...] = (OutputSpec(),)
    request: Request = Request()
    #: msgpack of the kind's own settings, see `core.kinds`; opaque to server and worker.
    config: bytes = b""
    #: The pickled function of a Python task; opaque to server and worker.
    body: bytes = b""
    #: How often a failed attempt is tried again.
    retries: int = 0
    #: Higher runs first within a session.
    priority: int = 0
    #: An attempt that runs longer is stopped and fails; None: no limit.
    timeout_s: float | None = None
    #: The labels of the inputs, one each, where any has one.
    input_labels: tuple[str | None, ...] = ()
