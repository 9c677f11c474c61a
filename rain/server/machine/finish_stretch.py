"""A stretch of neighbouring tasks is finished by slices of columns: what a task array does, mostly.

That goes where all are alike: expected of this worker in the attempts that are reported, without inputs, one output
each, which nobody reads, and which are kept, all of them or none. Whatever is otherwise takes the loop over the rows.
"""

from __future__ import annotations

from array import array

from rain.core.ids import NONE
from rain.protocol.columns import counting
from rain.server.machine.effects import StashStretch
from rain.server.machine.report import DoneRows, type_number
from rain.server.machine.stages import ASSIGNED, FINISHED
from rain.server.machine.state import ServerSession, ServerState, Worker
from rain.server.machine.stretches import all_are
from rain.server.machine.tables import AVAILABLE, FORGOTTEN, KEPT, STASHED

_WITH_FORGOTTEN = bytes(flags | FORGOTTEN for flags in range(256))


def accept_stretch(
    state: ServerState, session: ServerSession, worker: Worker, report: DoneRows, *, start: int, stop: int
) -> bool:
    """Accepts the rows `start` to before `stop`, whose tasks are neighbours; False, with nothing done, if it cannot.

    What precedes them was accepted.
    """
    n, task = stop - start, report.task[start]
    if not _are_expected(session, worker, report, start, n):
        return False
    obj = session.tasks.first_output[task]
    place = report.position
    inlined = report.inline[place : place + n].count(1)
    are_of_one_type, content_type = report.type_of(n)
    if 0 < inlined < n or not are_of_one_type:
        return False
    is_kept = session.objects.flags[obj] & KEPT
    _finish(state, session, report, start, n)
    if is_kept:
        _hold(session, worker, report, obj, n)
        if content_type is not None:
            session.objects.content_type[obj : obj + n] = array("H", (type_number(session, content_type),)) * n
    size = report.size[place : place + n]
    n_bytes = sum(size) if inlined else 0
    if is_kept and inlined:
        data = report.data[report.data_at : report.data_at + n_bytes]
        state.outbox.say(StashStretch(session.number, obj, size, data))
        session.objects.flags[obj : obj + n] = bytes((KEPT | AVAILABLE | STASHED,)) * n
    elif not is_kept:
        state.outbox.drop_column(worker.number, session.number).extend(range(obj, obj + n))
        flags = session.tasks.flags
        flags[task : task + n] = flags[task : task + n].translate(_WITH_FORGOTTEN)
        state.outbox.forgotten(session.number).extend(report.task[start:stop])
    report.position = place + n
    report.data_at += n_bytes
    return True


def _are_expected(session: ServerSession, worker: Worker, report: DoneRows, start: int, n: int) -> bool:
    """Whether these tasks and their outputs are alike, as this module needs them."""
    tasks, objects = session.tasks, session.objects
    task = report.task[start]
    if tasks.stage.count(ASSIGNED, task, task + n) != n or tasks.input_start[task] != tasks.input_start[task + n]:
        return False
    spec, obj = tasks.spec[task], tasks.first_output[task]
    if session.spec_outputs[spec] != 1 or not all_are(tasks.spec, task, n, spec):
        return False
    if not all_are(tasks.worker, task, n, worker.number):
        return False
    if tasks.attempt[task : task + n] != report.attempt[start : start + n]:
        return False
    # A flag besides KEPT would mean that they exist already.
    flags = objects.flags[obj]
    if flags & ~KEPT or objects.flags.count(flags, obj, obj + n) != n:
        return False
    return all_are(objects.consumer_head, obj, n, NONE) and tasks.first_output[task : task + n] == counting(obj, n)


def _finish(state: ServerState, session: ServerSession, report: DoneRows, start: int, n: int) -> None:
    tasks, task = session.tasks, report.task[start]
    durations = report.duration_us[start : start + n]
    tasks.stage[task : task + n] = bytes((FINISHED,)) * n
    tasks.duration_us[task : task + n] = durations
    tasks.ended_s[task : task + n] = array("d", (state.now,)) * n
    sizes = report.size[report.position : report.position + n]
    report.accepted(tasks.spec[task], n, sum(durations), sum(sizes))


def _hold(session: ServerSession, worker: Worker, report: DoneRows, obj: int, n: int) -> None:
    objects = session.objects
    objects.size[obj : obj + n] = report.size[report.position : report.position + n]
    objects.holder[obj : obj + n] = array("I", (worker.number,)) * n
    objects.flags[obj : obj + n] = bytes((KEPT | AVAILABLE,)) * n
    worker.n_objects += n
