"""The meaning of a submit: do its parts go on where the session stands, and is everything that they read there?

Nothing is changed here; a submit that is refused leaves no trace.
"""

from __future__ import annotations

from array import array
from operator import lt

from rain.core.ids import object_name
from rain.core.spec import TaskSpec
from rain.server.machine.attachments import MAX_USERS_BYTES
from rain.server.machine.stages import FINISHED
from rain.server.machine.state import ServerSession
from rain.server.machine.submit_parts import Part
from rain.server.machine.tables import AVAILABLE, CONSTANT


class SubmitRefused(Exception):
    """A submit that cannot be committed; the text is for the user."""


def check_meaning(session: ServerSession, parts: list[Part]) -> None:
    """Raises SubmitRefused unless these parts, in this order, can be committed; fills in their `outputs`."""
    n_tasks, n_objects = len(session.tasks), len(session.objects)
    outputs_of = list(session.spec_outputs)
    resent = {obj for part in parts for obj in part.constants if obj < len(session.objects)}
    for part in parts:
        found = (part.first_task, part.first_object, part.first_spec)
        expected = (n_tasks, n_objects, len(outputs_of))
        if found != expected:
            raise SubmitRefused(
                f"the submit goes on from (task, object, spec) {found}, expected {expected}: parts were lost"
            )
        outputs_of += [len(spec.outputs) for spec in part.specs]
        if part.spec and max(part.spec) >= len(outputs_of):
            raise SubmitRefused(f"the submit names spec {max(part.spec)}, but there are {len(outputs_of)}")
        part.outputs = _outputs(part, outputs_of)
        _check_objects(session, part)
        _check_constants(session, part)
        _check_inputs(session, part, resent)
        n_tasks += part.n_tasks
        n_objects += part.n_objects
    _check_users(session, parts, n_tasks, n_objects)


def _check_users(session: ServerSession, parts: list[Part], n_tasks: int, n_objects: int) -> None:
    """They may come with any part; they are of tasks and objects that the submit brings."""
    n_bytes = session.attached.specs_bytes
    for part in parts:
        for users, first, stop in (
            (part.task_users, len(session.tasks), n_tasks),
            (part.object_users, len(session.objects), n_objects),
        ):
            if not all(first <= number < stop for number, _ in users):
                raise SubmitRefused("the submit attaches something to a task or object that it does not bring")
            n_bytes += sum(len(user) for _, user in users)
    if n_bytes > MAX_USERS_BYTES:
        raise SubmitRefused(
            f"what is attached as `spec.user` has {n_bytes} bytes in all, {MAX_USERS_BYTES} are kept for a session: "
            "make data objects of what is large"
        )


def _outputs(part: Part, outputs_of: list[int]) -> array[int]:
    if all(outputs_of[number] == 1 for number in set(part.spec)):
        return part.first_output
    outputs = array("I")
    for first, number in zip(part.first_output, part.spec, strict=True):
        count = outputs_of[number]
        if first + count > part.first_object + part.n_objects:
            raise SubmitRefused(f"the submit names object {first + count - 1}, which it does not bring")
        outputs.extend(range(first, first + count))
    return outputs


def _check_objects(session: ServerSession, part: Part) -> None:
    """Every new object is exactly one of: constant, output of a task. By counting: all differ, and none is missing."""
    first, stop = part.first_object, part.first_object + part.n_objects
    new = [obj for obj in part.constants if obj >= first]
    count = len(part.outputs) + len(new)
    if count != part.n_objects:
        raise SubmitRefused(f"the submit brings {part.n_objects} objects, but {count} outputs and constants")
    if part.first_output and max(part.first_output) > stop:
        raise SubmitRefused(f"the submit names object {max(part.first_output)}, which it does not bring")
    in_order = part.outputs == array("I", range(first, first + len(part.outputs)))
    if not (in_order and not new):
        distinct = set(part.outputs)
        distinct.update(new)
        if len(distinct) != count or (distinct and (min(distinct) < first or max(distinct) >= stop)):
            raise SubmitRefused("the submit has an object that is not exactly one of: constant, output of one task")
    if part.kept and (min(part.kept) < first or max(part.kept) >= stop):
        raise SubmitRefused("the submit keeps an object that it does not bring")


def _check_constants(session: ServerSession, part: Part) -> None:
    flags = session.objects.flags
    for obj, size, inline in zip(part.constants, part.constant_size, part.constant_inline, strict=True):
        if obj < part.first_object and not (obj < len(flags) and flags[obj] & CONSTANT):
            raise SubmitRefused(f"{object_name(session.number, obj)} is sent as a constant, but is none")
        if not inline and session.uploads.get(obj) != size:
            raise SubmitRefused(
                f"{object_name(session.number, obj)} is a constant of {size} bytes that was not uploaded"
            )


def _check_inputs(session: ServerSession, part: Part, resent: set[int]) -> None:
    if not part.inputs:
        return
    limits = array("I")
    for count, first in zip(part.n_inputs, part.first_output, strict=True):
        if count:
            limits.extend((first,) * count)
    if not all(map(lt, part.inputs, limits)):
        raise SubmitRefused("the submit has a task that reads an object which was not made before it")
    objects, stage = session.objects, session.tasks.stage
    for obj in set(filter(len(objects).__gt__, part.inputs)) - resent:
        if objects.flags[obj] & AVAILABLE:
            continue
        if not objects.flags[obj] & CONSTANT and stage[objects.producer[obj]] != FINISHED:
            continue
        raise SubmitRefused(_gone(session, obj))


def _gone(session: ServerSession, obj: int) -> str:
    name = object_name(session.number, obj)
    if session.objects.flags[obj] & CONSTANT:
        return f"{name}, a constant, is not held any more and was not sent again"
    spec: TaskSpec = session.specs[session.tasks.spec[session.objects.producer[obj]]]
    return (
        f"{name}, output of {spec.name or spec.kind!r}, was not kept, so it is gone. Call `.keep()` before `submit()`."
    )
