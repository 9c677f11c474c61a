"""Large objects on their way to workers: what each still gets, and how fast they come."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from rain.core.ids import NONE, SERVER
from rain.server.machine.state import ServerSession, ServerState, Worker
from rain.server.machine.tables import STASHED

#: Smaller objects are there at once, as far as planning is concerned.
LARGE = 64 << 10
#: Less than this says more about messages than about the network.
MIN_MEASURED_BYTES = 1 << 20
#: The weight of what was seen before, of so many bytes, beside what is seen now.
MEMORY_BYTES = 256 << 20


def expect(state: ServerState, worker: Worker, session: ServerSession, obj: int) -> int:
    """The worker is (to be) told to fetch the object; returns the holder that it is to ask."""
    key = (session.number, obj)
    known = worker.incoming.get(key)
    if known is not None and (known[1] == SERVER or session.objects.is_held_by(obj, known[1])):
        return known[1]
    holder, size = _holder_for(state, session, obj, worker.number), session.objects.size[obj]
    if size < LARGE:
        return holder
    if known is not None:
        _take(state, worker, session.number, (obj,))
    if not worker.incoming:
        worker.incoming_since_s = state.now
    worker.incoming[key] = (size, holder)
    worker.incoming_bytes += size
    if holder in state.workers:
        state.workers[holder].outgoing_bytes += size
    return holder


def _holder_for(state: ServerState, session: ServerSession, obj: int, worker: int) -> int:
    """The holder that has least to send; among equals one by a hash, so that many needers ask different ones."""
    objects = session.objects
    candidates = [SERVER] if objects.flags[obj] & STASHED else []
    if obj in objects.replicas:
        holders = objects.holders_of(obj)
        least = min(state.workers[number].outgoing_bytes for number in holders)
        candidates += [number for number in holders if state.workers[number].outgoing_bytes == least]
    elif objects.holder[obj] != NONE:
        candidates.append(objects.holder[obj])
    return candidates[hash((state.seed, session.number, obj, worker)) % len(candidates)]


def arrived(state: ServerState, worker: Worker, session: int, objects: array[int]) -> None:
    """The worker has these objects now, and has been getting them since it was told, or since others came."""
    n_bytes = _take(state, worker, session, objects)
    if n_bytes < MIN_MEASURED_BYTES:
        return
    passed_s = max(1e-6, state.now - worker.incoming_since_s)
    worker.incoming_since_s = state.now
    weight = n_bytes / (n_bytes + MEMORY_BYTES)
    state.bandwidth = 1.0 / ((1 - weight) / state.bandwidth + weight * passed_s / n_bytes)


def given_up(state: ServerState, worker: Worker, session: int, objects: Iterable[int]) -> None:
    """These objects do not come."""
    _take(state, worker, session, objects)


def _take(state: ServerState, worker: Worker, session: int, objects: Iterable[int]) -> int:
    n_bytes = 0
    for obj in objects:
        size, holder = worker.incoming.pop((session, obj), (0, NONE))
        n_bytes += size
        if holder in state.workers:
            state.workers[holder].outgoing_bytes -= size
    worker.incoming_bytes -= n_bytes
    return n_bytes


def nothing_comes(state: ServerState, worker: Worker) -> None:
    """The worker has no tasks, or is gone: what it may still get, it gets for nobody."""
    for session, obj in list(worker.incoming):
        _take(state, worker, session, (obj,))


def worker_gone(state: ServerState, gone: Worker) -> None:
    """Nothing comes to this worker any more, or from it; called while it is known."""
    nothing_comes(state, gone)
    if not gone.outgoing_bytes:
        return
    for worker in state.workers.values():
        for (session, obj), (_, holder) in list(worker.incoming.items()):
            if holder == gone.number:
                _take(state, worker, session, (obj,))


def session_gone(state: ServerState, number: int) -> None:
    """Nothing of this session comes to anybody any more."""
    for worker in state.workers.values():
        for session, obj in list(worker.incoming):
            if session == number:
                _take(state, worker, session, (obj,))
