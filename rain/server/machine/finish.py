"""A worker reports attempts that succeeded: the hottest path of the server.

Stretches of neighbouring tasks whose results nobody reads are accepted as slices (see `finish_stretch`); the others in
one loop over the rows of a `Done`.
"""

from __future__ import annotations

from array import array
from itertools import compress

from rain.core.errors import ProtocolViolation
from rain.core.ids import NONE
from rain.protocol.columns import check_below, check_total, unpack
from rain.protocol.worker import Done
from rain.server.machine.attachments import check_attached, take_attached
from rain.server.machine.effects import StashResults
from rain.server.machine.finish_stretch import accept_stretch
from rain.server.machine.levels import durations_learned
from rain.server.machine.report import DoneRows, check_types, type_number
from rain.server.machine.stages import ASSIGNED, FINISHED
from rain.server.machine.state import ServerSession, ServerState, Worker
from rain.server.machine.stretches import stretches
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
MAX_DEPTH = 8192


def tasks_done(state: ServerState, worker: Worker, message: Done) -> None:
    """Accepts the attempts that are expected of this worker; results of others are dropped there.

    Raises ProtocolViolation when the columns contradict one another or the graph.
    """
    session = state.sessions.get(message.session)
    if session is None:
        return
    report = _check(session, message)
    state.touched.add(session.number)
    row = 0
    for start, stop in stretches(report.task, state.min_stretch):
        _accept_rows(state, session, worker, report, start=row, stop=start)
        if not accept_stretch(state, session, worker, report, start=start, stop=stop):
            _accept_rows(state, session, worker, report, start=start, stop=stop)
        row = stop
    _accept_rows(state, session, worker, report, start=row, stop=len(report.task))
    attached = session.attached
    if message.notes or message.object_users or attached.notes or attached.progress:
        take_attached(session, worker.number, report.task, report.attempt, message)
    if report.stash_object:
        state.outbox.say(
            StashResults(session.number, report.stash_object, report.stash_start, report.stash_size, report.data)
        )
    worker.progress_s = state.now
    _count(session, worker, report.per_spec)


def _count(session: ServerSession, worker: Worker, per_spec: dict[int, tuple[int, int, int]]) -> None:
    """Takes what was accepted off the counts, and learns how long such tasks take."""
    groups = session.groups
    for spec, (count, total_us, n_bytes) in per_spec.items():
        group = groups.of_spec[spec]
        groups.n_bytes[group] += n_bytes
        groups.work_us[group] += total_us
        resource_class = session.spec_class[spec]
        session.unfinished -= count
        count_off(worker, resource_class, count)
        seen = min(session.spec_reports[spec], MEAN_WINDOW)
        session.spec_mean_us[spec] = (session.spec_mean_us[spec] * seen + total_us) / (seen + count)
        session.spec_reports[spec] += count
    for resource_class in {session.spec_class[spec] for spec in per_spec}:
        worker.depth[resource_class] = min(MAX_DEPTH, 2 * worker.depth.get(resource_class, 1))
    durations_learned(session, len(per_spec))


def _check(session: ServerSession, message: Done) -> DoneRows:
    task = unpack("I", message.task, "task")
    size = unpack("Q", message.size, "size")
    inline = unpack("B", message.inline, "inline", len(size))
    check_below(task, len(session.tasks), "task")
    check_below(inline, 2, "inline")
    spec, outputs = session.tasks.spec, session.spec_outputs
    one_each = outputs.count(1) == len(outputs)
    n_outputs = len(task) if one_each else sum([outputs[spec[number]] for number in task])
    if n_outputs != len(size):
        raise ProtocolViolation(f"done: tasks with {n_outputs} outputs in all, found sizes of {len(size)}")
    if message.notes or message.object_users:
        check_attached(message, len(task), len(size))
    check_types(message.content_types, len(size))
    check_total(size if 0 not in inline else array("Q", compress(size, inline)), len(message.data), "bytes of results")
    return DoneRows(
        task=task,
        attempt=unpack("I", message.attempt, "attempt", len(task)),
        duration_us=unpack("I", message.duration_us, "duration_us", len(task)),
        size=size,
        inline=inline,
        data=message.data,
        content_types=message.content_types,
    )


def _accept_rows(
    state: ServerState, session: ServerSession, worker: Worker, report: DoneRows, *, start: int, stop: int
) -> None:
    """Finishes the tasks in these rows one by one."""
    if start == stop:
        return
    tasks, objects = session.tasks, session.objects
    stage, attempt, assigned_to, first_output = tasks.stage, tasks.attempt, tasks.worker, tasks.first_output
    spec, input_start, duration_us, ended_s = tasks.spec, tasks.input_start, tasks.duration_us, tasks.ended_s
    flags, lineage, task_flags = objects.flags, objects.lineage, tasks.flags
    outputs_of, now, number = session.spec_outputs, state.now, worker.number
    forgotten = state.outbox.forgotten(session.number)
    per_spec, sizes = report.per_spec, report.size
    for row in range(start, stop):
        task = report.task[row]
        kind = spec[task]
        if stage[task] != ASSIGNED or assigned_to[task] != number or attempt[task] != report.attempt[row]:
            _drop_stale(state, session, worker, task)
            report.pass_outputs(outputs_of[kind])
            continue
        stage[task] = FINISHED
        microseconds = duration_us[task] = report.duration_us[row]
        ended_s[task] = now
        obj, place = first_output[task], report.position
        needed_again = 0
        for output in range(obj, obj + outputs_of[kind]):
            _accept_output(state, session, worker, report, output)
            needed_again |= lineage[output] | (flags[output] & KEPT)
        if input_start[task] != input_start[task + 1]:
            let_go_of_inputs(state, session, task)
            if not needed_again:
                forget(state, session, task)
        elif not needed_again:
            task_flags[task] |= FORGOTTEN
            forgotten.append(task)
        n_bytes = sum(sizes[place : report.position])
        count, total_us, total_bytes = per_spec.get(kind, (0, 0, 0))
        per_spec[kind] = (count + 1, total_us + microseconds, total_bytes + n_bytes)


def _accept_output(state: ServerState, session: ServerSession, worker: Worker, report: DoneRows, obj: int) -> None:
    """The next output of the report is this object."""
    objects = session.objects
    flags = objects.flags
    place, at = report.position, report.data_at
    size, is_inline = report.size[place], report.inline[place]
    content_type = report.type_of(1)[1] if report.content_types else None
    report.position = place + 1
    if is_inline:
        report.data_at = at + size
    if not (flags[obj] & KEPT or objects.need[obj]):
        state.outbox.drop(worker.number, session.number, obj)
        return
    objects.size[obj] = size
    if objects.holder[obj] == NONE:
        objects.holder[obj] = worker.number
        worker.n_objects += 1
    else:
        add_holder(state, session, obj, worker.number)
    if content_type is not None:
        objects.content_type[obj] = type_number(session, content_type)
    if is_inline and not flags[obj] & STASHED:
        flags[obj] |= STASHED
        report.stash_object.append(obj)
        report.stash_start.append(at)
        report.stash_size.append(size)
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
