"""How many more tasks a worker may be given: its slots, and as much ahead as keeps it busy while a report travels.

Worked out per resource class. Where several classes share a worker, each may fill its part of the slots, or what the
others leave free, so that none floods the worker and none starves.
"""

from __future__ import annotations

from rain.core.resources import slots
from rain.server.machine.finish import MAX_DEPTH
from rain.server.machine.state import ServerSession, ServerState, Worker

#: Work ahead that a worker is given, in microseconds of all its slots together.
HORIZON_US = 50_000.0
#: Longer tasks are not given ahead at all.
LONG_TASK_US = 2_000_000.0
#: Bytes of arguments that a worker is given ahead.
MAX_AHEAD_BYTES = 16 << 20


def staying(state: ServerState) -> list[Worker]:
    """The workers that may be given tasks and data: all but those that are to leave."""
    return [worker for worker in state.workers.values() if worker.drain is None]


def slots_of(state: ServerState, worker: Worker, resource_class: int) -> int:
    """How many tasks of this class run on the worker at once."""
    found = worker.slots.get(resource_class)
    if found is None:
        found = worker.slots[resource_class] = slots(worker.offer, state.classes.requests[resource_class])
    return found


def depth(session: ServerSession, spec: int, worker: Worker, resource_class: int, n_slots: int) -> int:
    """How many tasks beyond its slots the worker may be given, by the mean duration of tasks like this one."""
    if not session.spec_reports[spec]:
        return 0
    mean_us = max(1.0, session.spec_mean_us[spec])
    target = min(MAX_DEPTH, int(n_slots * HORIZON_US / mean_us))
    if not target and mean_us < LONG_TASK_US:
        target = 1
    mean_bytes = session.args_bytes / len(session.tasks)
    if mean_bytes > 1.0:
        target = min(target, int(MAX_AHEAD_BYTES / mean_bytes))
    return min(target, worker.depth.get(resource_class, 0))


def load(state: ServerState, worker: Worker) -> float:
    """The share of the worker that its tasks take, 1 when all slots are taken."""
    return sum(min(1.0, count / slots_of(state, worker, number)) for number, count in worker.outstanding.items())


def idle_slots(state: ServerState, worker: Worker, resource_class: int, classes: set[int]) -> int:
    """How many tasks of this class can start at once on the worker.

    `classes`: those that have ready tasks. Each may fill its part of the worker, or what is left by the others.
    """
    n_slots = slots_of(state, worker, resource_class)
    if not n_slots:
        return 0
    outstanding = worker.outstanding.get(resource_class, 0)
    sharing = len(classes | worker.outstanding.keys())
    if sharing <= 1:
        return n_slots - outstanding
    part = max(1, n_slots // sharing) - outstanding
    left = int((1.0 - load(state, worker)) * n_slots + 1e-9)
    return max(part, min(left, n_slots - outstanding))
