"""Work that was given ahead is taken back from workers that cannot begin it soon while others have nothing to do.

It takes two messages: the worker is asked for a number of tasks, and answers which ones it gave up, so nothing that has
begun is disturbed and nothing runs twice. At most half of what a worker has beyond its slots is asked for, and each
worker is asked once at a time.
"""

from __future__ import annotations

from rain.protocol.columns import unpack
from rain.protocol.worker import Retract, Retracted
from rain.server.machine.rooms import idle_slots, slots_of
from rain.server.machine.stages import ASSIGNED
from rain.server.machine.state import ServerState, Worker
from rain.server.machine.transitions import cancel_followers, put_back, unassign

#: A queue that is shorter than this is over before anything could be gained.
MIN_QUEUE_US = 5_000.0
#: So often it is looked for idle workers, and so long a worker that had nothing to give is left in peace.
LOOK_S = 0.005
PEACE_S = 0.1
#: An answer that does not come is not waited for any longer.
PATIENCE_S = 5.0


def retract(state: ServerState, workers: list[Worker]) -> None:
    """Asks workers with long queues for tasks, where nothing else is there for those that idle."""
    if len(workers) < 2 or state.now < state.retract_at_s:
        return
    state.retract_at_s = state.now + LOOK_S
    ready = {queue.resource_class for session in state.sessions.values() for queue in session.ready.queues()}
    queued = {number for worker in workers for number in worker.outstanding} - ready
    for resource_class in sorted(queued):
        victims = _victims(state, workers, resource_class)
        if victims:
            _ask(state, workers, resource_class, victims)


def retracted(state: ServerState, worker: Worker, message: Retracted) -> None:
    """The worker gave up these attempts: they are planned anew."""
    tasks = unpack("I", message.task, "task")
    attempts = unpack("I", message.attempt, "attempt", len(tasks))
    worker.retract_at_s = state.now + (0.0 if tasks else PEACE_S)
    session = state.sessions.get(message.session)
    if session is None:
        return
    state.touched.add(session.number)
    table = session.tasks
    for task, attempt in zip(tasks, attempts, strict=True):
        if (
            task < len(table)
            and table.stage[task] == ASSIGNED
            and table.worker[task] == worker.number
            and table.attempt[task] == attempt
        ):
            unassign(state, session, task)
            cancel_followers(state, session, task)
            table.attempt[task] += 1
            put_back(session, task)


def _victims(state: ServerState, workers: list[Worker], resource_class: int) -> list[tuple[float, int, Worker]]:
    """Workers that have tasks of the class beyond their slots: (microseconds, tasks, worker), the longest first."""
    found = []
    for worker in workers:
        outstanding = worker.outstanding.get(resource_class, 0)
        beyond = outstanding - slots_of(state, worker, resource_class)
        if beyond <= 0 or state.now < worker.retract_at_s:
            continue
        queue_us = worker.work_us[resource_class] / outstanding * max(1.0, beyond / (outstanding - beyond))
        if queue_us >= MIN_QUEUE_US:
            found.append((queue_us, beyond, worker))
    found.sort(key=lambda victim: (-victim[0], victim[2].number))
    return found


def _ask(
    state: ServerState, workers: list[Worker], resource_class: int, victims: list[tuple[float, int, Worker]]
) -> None:
    idle = sum(max(0, idle_slots(state, worker, resource_class, set())) for worker in workers)
    for _, beyond, worker in victims:
        if idle <= 0:
            return
        chosen = _session_and_spec(state, worker, resource_class)
        if chosen is None:
            continue
        n_tasks = min(idle, -(-beyond // 2))
        state.outbox.tell_worker(worker.number, Retract(*chosen, n_tasks))
        worker.retract_at_s = state.now + PATIENCE_S
        idle -= n_tasks


def _session_and_spec(state: ServerState, worker: Worker, resource_class: int) -> tuple[int, int] | None:
    """A session, another one each time, of which the worker may have tasks of the class, and a spec of theirs."""
    found = []
    for number, told in worker.specs_told.items():
        session = state.sessions.get(number)
        if session is None or not session.unfinished:
            continue
        spec = next((spec for spec in told if session.spec_class[spec] == resource_class), None)
        if spec is not None:
            found.append((number, spec))
    return found[state.turn % len(found)] if found else None
