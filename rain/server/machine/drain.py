"""Workers that are to leave without loss: no new tasks, then what only they hold is copied, then they end.

What was given to such a worker is finished there. It is looked at again as time passes: a copy whose worker was lost
is ordered from another one, and a worker that nobody could stand in for any more goes back to work.
"""

from __future__ import annotations

from array import array

from rain.core.ids import NONE, worker_name
from rain.protocol.client import Ack, DrainWorker, RequestFailed
from rain.protocol.worker import Stop
from rain.server.machine.compose import compose_copies
from rain.server.machine.recovery import positions
from rain.server.machine.rooms import staying
from rain.server.machine.state import ConnectedClient, Drain, ServerSession, ServerState, Worker
from rain.server.machine.tables import KEPT, STASHED
from rain.server.machine.worker_events import worker_left

#: A copy that did not come is ordered again after this time; that does no harm where it is under way.
AGAIN_S = 2.0


def drain_worker(state: ServerState, client: ConnectedClient, message: DrainWorker) -> None:
    """Answers at once, or where `wait` when the worker has left."""
    worker = state.workers.get(message.worker)
    if worker is None:
        reason = f"there is no worker {worker_name(message.worker)}: it left, or never was."
        state.outbox.tell_client(client.number, RequestFailed(message.request, reason))
        return
    if worker.drain is None:
        reason = _what_would_be_lost(state, worker)
        if reason:
            state.outbox.tell_client(client.number, RequestFailed(message.request, reason))
            return
        worker.drain = Drain()
    if message.wait:
        worker.drain.waiters.append((client.number, message.request))
    else:
        state.outbox.tell_client(client.number, Ack(message.request))


def advance_drains(state: ServerState) -> None:
    """Orders what is next of every worker that is to leave; called as time passes."""
    for worker in [worker for worker in state.workers.values() if worker.drain is not None]:
        reason = _what_would_be_lost(state, worker)
        if reason:
            _stay(state, worker, reason)
        elif not worker.outstanding and not _copy_sole_objects(state, worker):
            state.outbox.tell_worker(worker.number, Stop())
            worker_left(state, worker.number)


def _what_would_be_lost(state: ServerState, worker: Worker) -> str:
    """Why the worker cannot leave, for want of another one; empty where it can."""
    if any(other is not worker for other in staying(state)):
        return ""
    n_tasks = sum(session.unfinished for session in state.sessions.values())
    n_objects = sum(len(_sole_objects(state, session, worker)) for session in state.sessions.values())
    if not n_tasks and not n_objects:
        return ""
    return (
        f"{worker_name(worker.number)} is needed, no other worker stays: {n_tasks} tasks are not done, and {n_objects} "
        "objects that are needed lie nowhere else. Start another worker first (`rain worker`)."
    )


def _stay(state: ServerState, worker: Worker, reason: str) -> None:
    drain, worker.drain = worker.drain, None
    worker.has_news = True
    for client, request in drain.waiters if drain is not None else ():
        if client in state.clients:
            state.outbox.tell_client(client, RequestFailed(request, reason))


def _copy_sole_objects(state: ServerState, worker: Worker) -> bool:
    """Orders copies of what only this worker holds; whether there is any such object (still)."""
    copies = worker.drain.copies if worker.drain is not None else {}
    targets = [other for other in staying(state) if not other.suspect]
    is_any = False
    for session in state.sessions.values():
        sole = _sole_objects(state, session, worker)
        is_any = is_any or bool(sole)
        orders: dict[int, array[int]] = {}
        for obj in sole:
            target, ordered_s = copies.get((session.number, obj), (NONE, 0.0))
            if not targets or (target in state.workers and state.now - ordered_s < AGAIN_S):
                continue
            if target not in state.workers:
                target = targets[obj % len(targets)].number
            copies[session.number, obj] = (target, state.now)
            orders.setdefault(target, array("I")).append(obj)
        for target, objects in orders.items():
            compose_copies(state, state.workers[target], session, objects)
    return is_any


def _sole_objects(state: ServerState, session: ServerSession, worker: Worker) -> list[int]:
    """Objects that somebody needs, and that neither the server nor a worker that stays holds."""
    objects = session.objects
    staying_ones = {other.number for other in staying(state) if other is not worker}
    return [
        obj
        for obj in positions(objects.holder, worker.number)
        if (objects.need[obj] or objects.flags[obj] & KEPT)
        and not objects.flags[obj] & STASHED
        and staying_ones.isdisjoint(objects.replicas.get(obj, ()))
    ]
