"""After the events of a step: what became ready is queued, and who waits is answered."""

from __future__ import annotations

from array import array

from rain.server.machine.levels import bucket_of, sweep
from rain.server.machine.stages import READY
from rain.server.machine.state import ServerSession, ServerState
from rain.server.machine.waiters import answer_waiters


def settle(state: ServerState) -> None:
    """Brings every session in which something happened to rest."""
    for number in sorted(state.touched):
        session = state.sessions.get(number)
        if session is None:
            continue
        sweep(session)
        if session.newly_ready:
            _fill_queues(session)
        _note_business(session, state.now)
        answer_waiters(state, session)
    state.touched.clear()


def _note_business(session: ServerSession, now: float) -> None:
    """Adds up how long there was something to do."""
    since_s = session.busy_since_s
    if session.unfinished and since_s is None:
        session.busy_since_s = now
    elif since_s is not None and not session.unfinished:
        session.busy_s += now - since_s
        session.busy_since_s = None


def _fill_queues(session: ServerSession) -> None:
    """Ascending order makes runs of neighbours, which stay cheap."""
    tasks = session.tasks
    stage, spec, input_start = tasks.stage, tasks.spec, tasks.input_start
    level = tasks.level
    groups: dict[tuple[int, bool, int], array[int]] = {}
    for task in sorted(set(session.newly_ready)):
        if stage[task] != READY:
            continue
        key = (spec[task], input_start[task] != input_start[task + 1], bucket_of(level[task]))
        group = groups.get(key)
        if group is None:
            group = groups[key] = array("I")
        group.append(task)
    session.newly_ready.clear()
    for (number, has_inputs, bucket), group in groups.items():
        queue = session.ready.queue(session.spec_class[number], session.specs[number].priority)
        queue.push(group, has_inputs, bucket)
