"""A checked submit becomes rows of the session's tables."""

from __future__ import annotations

from array import array

from rain.server.machine.levels import bucket_of, set_levels
from rain.server.machine.report import type_number
from rain.server.machine.stages import FINISHED, READY
from rain.server.machine.state import ServerSession, ServerState
from rain.server.machine.submit_parts import Part
from rain.server.machine.tables import AVAILABLE, CONSTANT, KEPT, STASHED
from rain.server.machine.transitions import culprit_of, make_available, release, stop_with_readers


def commit(state: ServerState, session: ServerSession, parts: list[Part]) -> None:
    """Adds the parts to the session; tasks without missing inputs are READY."""
    doomed: dict[int, int] = {}
    for part in parts:
        _add_specs(state, session, part)
        session.args_bytes += part.args_bytes
        session.objects.append(part.n_objects)
        session.tasks.append(part.spec, part.first_output, part.n_inputs, part.inputs)
        session.unfinished += part.n_tasks
        _set_producers(session, part)
        _set_kept(session, part)
        _set_constants(session, part)
        session.attached.add_specs(part.task_users, part.object_users)
        if part.inputs:
            _link_inputs(session, part, doomed)
            set_levels(session, part.first_task, part.first_task + part.n_tasks)
        _make_ready(session, part)
    for task, culprit in doomed.items():
        stop_with_readers(state, session, [task], culprit)
    objects = session.objects
    for part in parts:
        for obj in part.constants:
            unneeded = not (objects.flags[obj] & KEPT or objects.lineage[obj])
            if unneeded and objects.flags[obj] & AVAILABLE:
                release(state, session, obj)
            session.uploads.pop(obj, None)


def _add_specs(state: ServerState, session: ServerSession, part: Part) -> None:
    for spec in part.specs:
        session.specs.append(spec)
        session.spec_class.append(state.classes.number(spec.request))
        session.spec_outputs.append(len(spec.outputs))
        session.spec_reports.append(0)
        session.spec_mean_us.append(0.0)
        session.groups.add_spec(spec)
        session.levels.own_us.append(session.levels.unknown_us)


def _set_producers(session: ServerSession, part: Part) -> None:
    producer, first = session.objects.producer, part.first_object
    makers = range(part.first_task, part.first_task + part.n_tasks)
    if part.outputs is part.first_output:
        if part.outputs == array("I", range(first, first + part.n_tasks)):
            producer[first : first + part.n_tasks] = array("I", makers)
            return
        for obj, task in zip(part.outputs, makers, strict=True):
            producer[obj] = task
        return
    outputs_of = session.spec_outputs
    for task, obj, spec in zip(makers, part.first_output, part.spec, strict=True):
        for output in range(obj, obj + outputs_of[spec]):
            producer[output] = task


def _set_kept(session: ServerSession, part: Part) -> None:
    flags, first = session.objects.flags, part.first_object
    if part.n_objects and part.kept == array("I", range(first, first + part.n_objects)):
        flags[first : first + part.n_objects] = bytes((KEPT,)) * part.n_objects
        return
    for obj in part.kept:
        flags[obj] |= KEPT


def _set_constants(session: ServerSession, part: Part) -> None:
    objects = session.objects
    numbers = [type_number(session, content_type) for content_type in part.content_types]
    for obj, size, content_type in zip(part.constants, part.constant_size, part.constant_type, strict=True):
        objects.size[obj] = size
        objects.content_type[obj] = numbers[content_type]
        objects.flags[obj] |= CONSTANT | STASHED
        if not objects.flags[obj] & AVAILABLE:
            make_available(session, obj)


def _link_inputs(session: ServerSession, part: Part, doomed: dict[int, int]) -> None:
    """Enters the part's tasks among the readers of their inputs, and counts what they miss.

    `doomed`: tasks that read what will never be made, and the failed task that is to blame (NONE: it was cancelled).
    """
    tasks, objects = session.tasks, session.objects
    head, need, lineage, flags, producer = (
        objects.consumer_head,
        objects.need,
        objects.lineage,
        objects.flags,
        objects.producer,
    )
    edge_next, edge_task, missing, stage = tasks.edge_next, tasks.edge_task, tasks.missing, tasks.stage
    for edge, obj in enumerate(part.inputs, len(tasks.inputs) - len(part.inputs)):
        edge_next[edge] = head[obj]
        head[obj] = edge
        need[obj] += 1
        lineage[obj] += 1
        if not flags[obj] & AVAILABLE:
            task = edge_task[edge]
            missing[task] += 1
            if stage[producer[obj]] > FINISHED:
                doomed[task] = culprit_of(session, producer[obj])


def _make_ready(session: ServerSession, part: Part) -> None:
    tasks = session.tasks
    first, stop = part.first_task, part.first_task + part.n_tasks
    missing, stage = tasks.missing, tasks.stage
    if part.inputs:
        for task in range(first, stop):
            if not missing[task]:
                stage[task] = READY
                session.newly_ready.append(task)
        return
    stage[first:stop] = bytes((READY,)) * part.n_tasks
    start = 0
    same = part.n_tasks and part.spec.count(part.spec[0]) == part.n_tasks
    while start < part.n_tasks:
        spec, end = part.spec[start], part.n_tasks
        if not same:
            end = next((row for row in range(start, part.n_tasks) if part.spec[row] != spec), end)
        queue = session.ready.queue(session.spec_class[spec], session.specs[spec].priority)
        level_us = session.levels.own_us[spec]
        tasks.level[first + start : first + end] = array("f", (level_us,)) * (end - start)
        queue.push_run(first + start, first + end, bucket_of(level_us))
        start = end
