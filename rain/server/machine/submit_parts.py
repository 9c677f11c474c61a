"""The form of a submit's part: its columns as arrays, checked against one another but not yet against the session.

A part that is wrong in form comes from a peer that does not speak the protocol; one that is wrong in meaning (see
`submit_checks`) from a client whose bookkeeping differs from the server's.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from itertools import compress

from rain.core.errors import ProtocolViolation
from rain.core.ids import MAX_ID
from rain.core.spec import TaskSpec
from rain.protocol.client import MAX_TASKS_PER_PART, Submit
from rain.protocol.columns import check_below, check_total, unpack


@dataclass(slots=True)
class Part:
    """One part of a submit, without the bytes of arguments and constants: those are in the stash."""

    first_spec: int
    specs: tuple[TaskSpec, ...]
    first_task: int
    spec: array[int]
    first_output: array[int]
    n_inputs: array[int]
    inputs: array[int]
    args_bytes: int
    first_object: int
    n_objects: int
    kept: array[int]
    constants: array[int]
    constant_size: array[int]
    constant_inline: array[int]
    constant_type: array[int]
    content_types: tuple[str | None, ...]
    task_users: tuple[tuple[int, bytes], ...] = ()
    object_users: tuple[tuple[int, bytes], ...] = ()
    #: The outputs of all tasks, task after task; filled in by the checks.
    outputs: array[int] = field(default_factory=lambda: array("I"))

    @property
    def n_tasks(self) -> int:
        """How many tasks it brings."""
        return len(self.spec)


def check_form(message: Submit) -> Part:
    """The columns of a part. Raises ProtocolViolation when they contradict one another."""
    n = message.n_tasks
    if not 0 <= n <= MAX_TASKS_PER_PART:
        raise ProtocolViolation(f"submit: a part has at most {MAX_TASKS_PER_PART} tasks, found {n}")
    if message.n_objects < 0 or min(message.first_task, message.first_object, message.first_spec) < 0:
        raise ProtocolViolation("submit: numbers of tasks, objects and specs are not negative")
    if max(message.first_task + n, message.first_object + message.n_objects) > MAX_ID:
        raise ProtocolViolation(f"submit: numbers of tasks and objects are below {MAX_ID}")
    n_inputs = unpack("I", message.n_inputs, "n_inputs", n)
    inputs = unpack("I", message.inputs, "inputs")
    check_total(n_inputs, len(inputs), "inputs")
    check_total(unpack("I", message.args_size, "args_size", n), len(message.args), "bytes of arguments")
    constants = unpack("I", message.constants, "constants")
    sizes = unpack("Q", message.constant_size, "constant_size", len(constants))
    inline = unpack("B", message.constant_inline, "constant_inline", len(constants))
    types = unpack("H", message.constant_type, "constant_type", len(constants))
    check_below(inline, 2, "constant_inline")
    check_below(types, len(message.content_types), "constant_type")
    check_total(array("Q", compress(sizes, inline)), len(message.constant_data), "bytes of constants")
    return Part(
        first_spec=message.first_spec,
        specs=message.specs,
        first_task=message.first_task,
        spec=unpack("I", message.spec, "spec", n),
        first_output=unpack("I", message.first_output, "first_output", n),
        n_inputs=n_inputs,
        inputs=inputs,
        args_bytes=len(message.args),
        first_object=message.first_object,
        n_objects=message.n_objects,
        kept=unpack("I", message.kept, "kept"),
        constants=constants,
        constant_size=sizes,
        constant_inline=inline,
        constant_type=types,
        content_types=message.content_types,
        task_users=message.task_users,
        object_users=message.object_users,
    )
