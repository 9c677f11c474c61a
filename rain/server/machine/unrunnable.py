"""Ready tasks that no present worker could ever run: their client is told, and told again when that changes."""

from __future__ import annotations

from collections.abc import Sequence

from rain.core.ids import task_name, worker_name
from rain.core.resources import Offer, Request
from rain.protocol.client import Unrunnable
from rain.server.machine.rooms import slots_of, staying
from rain.server.machine.state import ServerSession, ServerState

#: A warning names at most so many workers.
MAX_NAMED = 5
#: Who has no worker at all is told so after this time.
GRACE_S = 1.0


def tell_unrunnable(state: ServerState) -> None:
    """Orders a message for every session in which the kinds of such tasks are others than before."""
    if state.stopping:
        return
    for session in state.sessions.values():
        classes = _classes(state, session)
        if _may_come_yet(state, session, classes) or classes == session.unrunnable:
            continue
        session.unrunnable = classes
        session.unrunnable_reason = _reason(state, session, classes)
        if session.client in state.clients:
            state.outbox.tell_client(session.client, Unrunnable(session.number, session.unrunnable_reason))


def _may_come_yet(state: ServerState, session: ServerSession, classes: tuple[int, ...]) -> bool:
    """Where there is no worker at all, the first one may be about to join."""
    if state.workers or not classes:
        session.workerless_s = None
        return False
    if session.workerless_s is None:
        session.workerless_s = state.now
    return state.now - session.workerless_s < GRACE_S


def _classes(state: ServerState, session: ServerSession) -> tuple[int, ...]:
    """The resource classes of ready tasks for which no worker is there, those of higher priority first."""
    found: dict[int, None] = {}
    for queue in session.ready.queues():
        if any(slots_of(state, worker, queue.resource_class) for worker in staying(state)):
            continue
        queue.drop_stale(session.tasks.stage)
        if queue.peek() is not None:
            found[queue.resource_class] = None
    return tuple(found)


def _reason(state: ServerState, session: ServerSession, classes: tuple[int, ...]) -> str:
    if not classes:
        return ""
    task = next(
        task
        for queue in session.ready.queues()
        if queue.resource_class in classes
        if (task := queue.peek()) is not None
    )
    name = session.specs[session.tasks.spec[task]].name
    described = task_name(session.number, task) + (f" '{name}'" if name else "")
    requests = [state.classes.requests[number] for number in classes]
    needs = " or ".join(request.describe() for request in requests)
    there = describe_workers(state, requests)
    return (
        f"tasks wait for a worker that is not there, the first is {described}: needed is {needs}, {there}. "
        "They run when such a worker joins: start one with `rain worker`, or ask for less."
    )


def describe_workers(state: ServerState, requests: Sequence[Request]) -> str:
    """Which workers there are and what they offer, for who needs one of `requests`."""
    with_memory = any(request.memory_bytes for request in requests)
    workers = [f"{worker_name(worker.number)} with {_offered(worker.offer, with_memory)}" for worker in staying(state)]
    more = f" and {len(workers) - MAX_NAMED} more" if len(workers) > MAX_NAMED else ""
    return f"the workers are {', '.join(workers[:MAX_NAMED])}{more}" if workers else "no worker is connected"


def _offered(offer: Offer, with_memory: bool) -> str:
    memory = offer.memory_bytes if with_memory else 0
    return Request(cpus=offer.cpus, gpus=offer.gpus, memory_bytes=memory, named=offer.named).describe()
