"""Objects that their client does not want any more: those that nobody else needs are released.

A stretch of neighbouring objects that are alike, as task arrays make them, is let go of by slices of columns: finished,
each the one output of a task without inputs, at the same worker, and not read by anybody. Others take the loop over
the rows.
"""

from __future__ import annotations

from array import array
from itertools import pairwise

from rain.core.ids import NONE
from rain.protocol.client import Unkeep
from rain.protocol.columns import counting, unpack
from rain.server.machine.stages import FINISHED
from rain.server.machine.state import ServerSession, ServerState
from rain.server.machine.stretches import all_are, stretches
from rain.server.machine.tables import AVAILABLE, FORGOTTEN, KEPT, STASHED
from rain.server.machine.transitions import forget, is_forgettable, release

_WITH_FORGOTTEN = bytes(flags | FORGOTTEN for flags in range(256))
_IS_FORGOTTEN = bytes(flags & FORGOTTEN for flags in range(256))


def unkeep(state: ServerState, session: ServerSession, message: Unkeep) -> None:
    """Takes the marks away. Raises ProtocolViolation where the column is wrong in form."""
    objects = unpack("I", message.objects, "objects")
    state.touched.add(session.number)
    position = 0
    for start, stop in stretches(objects, state.min_stretch):
        _unkeep_rows(state, session, objects[position:start])
        for first, n in _of_one_holder(session, objects[start], stop - start):
            if n < state.min_stretch or not _unkeep_alike(state, session, first, n):
                _unkeep_rows(state, session, range(first, first + n))
        position = stop
    _unkeep_rows(state, session, objects[position:])


def _unkeep_rows(state: ServerState, session: ServerSession, objects: array[int] | range) -> None:
    table = session.objects
    for obj in objects:
        if obj >= len(table) or not table.flags[obj] & KEPT:
            continue
        table.flags[obj] &= ~KEPT
        if not table.need[obj]:
            release(state, session, obj)
        producer = table.producer[obj]
        if producer != NONE and is_forgettable(session, producer):
            forget(state, session, producer)


def _of_one_holder(session: ServerSession, first: int, n: int) -> list[tuple[int, int]]:
    """The parts of a stretch, as first object and length, that are at one worker each; what is not there is a part."""
    holder = session.objects.holder[first : first + n]
    there = len(holder)
    breaks = [place for place, (left, right) in enumerate(pairwise(holder), 1) if left != right]
    ends = dict.fromkeys((0, *breaks, there, n))
    return [(first + start, stop - start) for start, stop in pairwise(ends)]


def _unkeep_alike(state: ServerState, session: ServerSession, first: int, n: int) -> bool:
    """Lets go of these objects, which one worker holds; False, with nothing done, where they are not alike."""
    if not _are_alike(session, first, n):
        return False
    objects, tasks = session.objects, session.tasks
    holder, task = objects.holder[first], objects.producer[first]
    numbers = counting(first, n)
    if holder != NONE:
        objects.holder[first : first + n] = array("I", (NONE,)) * n
        if holder in state.workers:
            state.workers[holder].n_objects -= n
        state.outbox.drop_column(holder, session.number).extend(numbers)
    if objects.flags[first] & STASHED:
        state.outbox.drop_stashed(session.number).extend(numbers)
    objects.flags[first : first + n] = bytes(n)
    tasks.flags[task : task + n] = tasks.flags[task : task + n].translate(_WITH_FORGOTTEN)
    state.outbox.forgotten(session.number).extend(counting(task, n))
    return True


def _are_alike(session: ServerSession, first: int, n: int) -> bool:
    """Whether these rows are as this module needs them; objects beyond the table are not."""
    objects, tasks = session.objects, session.tasks
    if first + n > len(objects):
        return False
    flags, task = objects.flags[first], objects.producer[first]
    if flags & ~STASHED != KEPT | AVAILABLE or objects.flags.count(flags, first, first + n) != n:
        return False
    if objects.replicas and any(obj in objects.replicas for obj in range(first, first + n)):
        return False
    if not all_are(objects.lineage, first, n, 0) or objects.producer[first : first + n] != counting(task, n):
        return False
    if tasks.stage.count(FINISHED, task, task + n) != n or tasks.input_start[task] != tasks.input_start[task + n]:
        return False
    if tasks.flags[task : task + n].translate(_IS_FORGOTTEN).count(FORGOTTEN):
        return False
    spec = tasks.spec[task]
    return session.spec_outputs[spec] == 1 and all_are(tasks.spec, task, n, spec)
