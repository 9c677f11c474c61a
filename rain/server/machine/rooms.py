"""How many more tasks a worker may be given: its slots, and as much ahead as keeps it busy while a report travels.

Worked out per resource class. Where several classes share a worker, each may fill its part of the slots, or what the
others leave free, so that none floods the worker and none starves.
"""

from __future__ import annotations

from dataclasses import dataclass

from rain.core.resources import Offer, Request, slots, subtract
from rain.server.machine.finish import MAX_DEPTH
from rain.server.machine.state import ServerSession, ServerState, Worker

#: Work ahead that a worker is given, in microseconds of all its slots together.
HORIZON_US = 50_000.0
#: Longer tasks are not given ahead at all.
LONG_TASK_US = 2_000_000.0
#: From so many tasks ahead on, more are given by halves.
MANY_AHEAD = 32
#: Bytes of arguments that a worker is given ahead.
MAX_AHEAD_BYTES = 16 << 20


@dataclass(slots=True)
class Room:
    """What a worker may be given of one queue in this round."""

    worker: Worker
    n_slots: int
    idle: int
    ahead: int
    #: The share of its slots that its tasks take, above 1 where they queue, and microseconds until all are done.
    load: float = 0.0
    drain_us: float = 0.0
    #: Microseconds by which its next report is late.
    late_us: float = 0.0

    @property
    def wait_us(self) -> float:
        """Until one more task could start."""
        if self.idle > 0 or not self.load:
            return 0.0
        return max(0.0, self.load - 1.0 + 1.0 / self.n_slots) * self.drain_us / self.load + self.late_us

    def use(self, work_us: float) -> None:
        """One more task of this length goes there."""
        self.load += 1.0 / self.n_slots
        self.drain_us += work_us / self.n_slots
        if self.idle > 0:
            self.idle -= 1
        else:
            self.ahead -= 1

    def use_many(self, n: int, work_us: float) -> None:
        """So many more tasks of this length go there."""
        self.load += n / self.n_slots
        self.drain_us += n * work_us / self.n_slots
        started = min(n, self.idle)
        self.idle -= started
        self.ahead -= n - started


def staying(state: ServerState) -> list[Worker]:
    """The workers that may be given tasks and data: all but those that are to leave."""
    return [worker for worker in state.workers.values() if worker.drain is None]


def slots_of(state: ServerState, worker: Worker, resource_class: int) -> int:
    """How many tasks of this class run on the worker at once."""
    found = worker.slots.get(resource_class)
    if found is None:
        found = worker.slots[resource_class] = slots(worker.offer, state.classes.requests[resource_class])
    return found


def unused_kinds(offer: Offer, request: Request) -> int:
    """How many kinds of resources, besides cpus and memory, are offered that a task does not ask for."""
    asked = {name for name, _ in request.named}
    return (offer.gpus > 0 and not request.gpus) + sum(name not in asked for name, _ in offer.named)


def gap_slots(state: ServerState, worker: Worker, resource_class: int, other: int) -> int:
    """How many tasks of the class fit beside as many as possible of another one."""
    requests = state.classes.requests
    rest = worker.offer
    for _ in range(slots_of(state, worker, other)):
        rest = subtract(rest, requests[other])
    return slots(rest, requests[resource_class])


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


def room_ahead(ahead: int, has: int) -> int:
    """How many more tasks a worker is given that may have `ahead` beyond its slots, and has `has`.

    Nothing before half of many is used up: few large messages instead of many small ones.
    """
    room = max(0, ahead - has)
    return room if ahead < MANY_AHEAD or room * 2 >= ahead else 0


def room_with_queue(state: ServerState, worker: Worker, n_slots: int, idle: int, ahead: int) -> Room:
    """A room that knows how long the worker's tasks will take."""
    queue_load = drain_us = 0.0
    for number, count in worker.outstanding.items():
        each = slots_of(state, worker, number)
        queue_load += count / each
        drain_us += worker.work_us[number] / each
    late_us = (state.now - worker.progress_s) * 1e6 - drain_us / queue_load if queue_load else 0.0
    return Room(worker, n_slots, idle, ahead, queue_load, drain_us, max(0.0, late_us))


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
