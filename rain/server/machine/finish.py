"""A worker reports attempts that succeeded: the hottest path of the server, one loop over the rows of a `Done`."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import accumulate, compress

from rain.core.errors import ProtocolViolation
from rain.core.ids import NONE
from rain.protocol.columns import Column, check_below, check_total, unpack
from rain.protocol.worker import Done
from rain.server.machine.attachments import check_attached, take_attached
from rain.server.machine.effects import StashResults
from rain.server.machine.stages import ASSIGNED, FINISHED
from rain.server.machine.state import ServerSession, ServerState, Worker
from rain.server.machine.tables import AVAILABLE, FORGOTTEN, KEPT, STASHED
from rain.server.machine.transitions import (
    add_holder,
    assigned_readers,
    count_off,
    forget,
    let_go_of_inputs,
    make_available,
)

#: A mean of durations follows the last so many reports of a spec.
MEAN_WINDOW = 4096
#: Most that a worker may be given beyond its slots.
MAX_DEPTH = 4096


@dataclass(slots=True)
class _Report:
    """The columns of a `Done`, and what the loop over its rows finds."""

    task: array[int]
    attempt: array[int]
    duration_us: array[int]
    size: array[int]
    inline: array[int]
    #: Where the bytes of each output begin in `data`.
    start: list[int]
    data: Column
    content_types: dict[int, str]
    #: Positions of outputs whose bytes the stash is to keep, and the objects.
    stash_position: array[int]
    stash_object: array[int]


def tasks_done(state: ServerState, worker: Worker, message: Done) -> None:
    """Accepts the attempts that are expected of this worker; results of others are dropped there.

    Raises ProtocolViolation when the columns contradict one another or the graph.
    """
    session = state.sessions.get(message.session)
    if session is None:
        return
    report = _check(session, message)
    state.touched.add(session.number)
    per_spec = _accept_rows(state, session, worker, report)
    if message.notes or message.object_users or session.attached.notes:
        take_attached(session, worker.number, report.task, report.attempt, message)
    if report.stash_object:
        size = report.size
        start = array("Q", [report.start[position] for position in report.stash_position])
        sizes = array("Q", [size[position] for position in report.stash_position])
        state.outbox.say(StashResults(session.number, report.stash_object, start, sizes, report.data))
    for spec, (count, total_us) in per_spec.items():
        resource_class = session.spec_class[spec]
        session.unfinished -= count
        count_off(worker.outstanding, resource_class, count)
        seen = min(session.spec_reports[spec], MEAN_WINDOW)
        session.spec_mean_us[spec] = (session.spec_mean_us[spec] * seen + total_us) / (seen + count)
        session.spec_reports[spec] += count
    for resource_class in {session.spec_class[spec] for spec in per_spec}:
        worker.depth[resource_class] = min(MAX_DEPTH, 2 * worker.depth.get(resource_class, 1))


def _check(session: ServerSession, message: Done) -> _Report:
    task = unpack("I", message.task, "task")
    size = unpack("Q", message.size, "size")
    inline = unpack("B", message.inline, "inline", len(size))
    check_below(task, len(session.tasks), "task")
    check_below(inline, 2, "inline")
    spec, outputs = session.tasks.spec, session.spec_outputs
    n_outputs = len(task) if len(outputs) == 1 == outputs[0] else sum([outputs[spec[number]] for number in task])
    if n_outputs != len(size):
        raise ProtocolViolation(f"done: tasks with {n_outputs} outputs in all, found sizes of {len(size)}")
    if message.notes or message.object_users:
        check_attached(message, len(task), len(size))
    inlined = array("Q", compress(size, inline))
    check_total(inlined, len(message.data), "bytes of results")
    return _Report(
        task=task,
        attempt=unpack("I", message.attempt, "attempt", len(task)),
        duration_us=unpack("I", message.duration_us, "duration_us", len(task)),
        size=size,
        inline=inline,
        start=list(accumulate(map(int.__mul__, size, inline), initial=0)) if inlined else [],
        data=message.data,
        content_types=dict(message.content_types),
        stash_position=array("I"),
        stash_object=array("I"),
    )


def _accept_rows(
    state: ServerState, session: ServerSession, worker: Worker, report: _Report
) -> dict[int, tuple[int, int]]:
    """Finishes the tasks; returns per spec how many were accepted and the sum of their durations."""
    tasks, objects = session.tasks, session.objects
    stage, attempt, assigned_to, first_output = tasks.stage, tasks.attempt, tasks.worker, tasks.first_output
    spec, input_start, duration_us, ended_s = tasks.spec, tasks.input_start, tasks.duration_us, tasks.ended_s
    flags, lineage, task_flags = objects.flags, objects.lineage, tasks.flags
    outputs_of, now, number = session.spec_outputs, state.now, worker.number
    forgotten = state.outbox.forgotten(session.number)
    per_spec: dict[int, tuple[int, int]] = {}
    position = 0
    for task, tried, microseconds in zip(report.task, report.attempt, report.duration_us, strict=True):
        kind = spec[task]
        first = position
        position += outputs_of[kind]
        if stage[task] != ASSIGNED or assigned_to[task] != number or attempt[task] != tried:
            _drop_stale(state, session, worker, task)
            continue
        stage[task] = FINISHED
        duration_us[task] = microseconds
        ended_s[task] = now
        obj = first_output[task]
        needed_again = 0
        for place in range(first, position):
            _accept_output(state, session, worker, report, place=place, obj=obj)
            needed_again |= lineage[obj] | (flags[obj] & KEPT)
            obj += 1
        if input_start[task] != input_start[task + 1]:
            let_go_of_inputs(state, session, task)
            if not needed_again:
                forget(state, session, task)
        elif not needed_again:
            task_flags[task] |= FORGOTTEN
            forgotten.append(task)
        count, total_us = per_spec.get(kind, (0, 0))
        per_spec[kind] = (count + 1, total_us + microseconds)
    return per_spec


def _accept_output(
    state: ServerState, session: ServerSession, worker: Worker, report: _Report, *, place: int, obj: int
) -> None:
    objects = session.objects
    flags = objects.flags
    if not (flags[obj] & KEPT or objects.need[obj]):
        state.outbox.drop(worker.number, session.number, obj)
        return
    objects.size[obj] = report.size[place]
    if objects.holder[obj] == NONE:
        objects.holder[obj] = worker.number
        worker.n_objects += 1
    else:
        add_holder(state, session, obj, worker.number)
    if report.content_types and place in report.content_types:
        objects.content_type[obj] = type_number(session, report.content_types[place])
    if report.inline[place] and not flags[obj] & STASHED:
        flags[obj] |= STASHED
        report.stash_object.append(obj)
        report.stash_position.append(place)
    if not flags[obj] & AVAILABLE:
        if objects.consumer_head[obj] == NONE:
            flags[obj] |= AVAILABLE
        else:
            make_available(session, obj)


def _drop_stale(state: ServerState, session: ServerSession, worker: Worker, task: int) -> None:
    """The results of an attempt that is not expected of this worker go, unless it makes or holds them by right.

    Those that it was told to fetch for a task stay, too: its `Fetched` is under way, and a drop could cross it.
    """
    tasks, objects = session.tasks, session.objects
    if tasks.stage[task] == ASSIGNED and tasks.worker[task] == worker.number:
        session.ignored_results.add((worker.number, task))
        return
    first = tasks.first_output[task]
    for obj in range(first, first + session.spec_outputs[tasks.spec[task]]):
        if not (objects.is_held_by(obj, worker.number) or assigned_readers(session, obj, worker.number)):
            state.outbox.drop(worker.number, session.number, obj)


def type_number(session: ServerSession, content_type: str | None) -> int:
    """The number of a content type in the session; 0, which is none, when there are too many."""
    number = session.type_numbers.get(content_type)
    if number is None:
        if len(session.content_types) > 0xFFFF:
            return 0
        number = session.type_numbers[content_type] = len(session.content_types)
        session.content_types.append(content_type)
    return number
