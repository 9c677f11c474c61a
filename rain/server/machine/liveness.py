"""Who is silent is asked, then suspected, then given up; what is left alone for too long ends: a session without its
client, and a cluster without clients and sessions where it was told to."""

from __future__ import annotations

from rain.core.liveness import CLIENT_DEAD_AFTER_S, DEAD_AFTER_S, HEARTBEAT_S, SUSPECT_AFTER_S
from rain.protocol.client import ServerAlive
from rain.protocol.worker import ServerPing
from rain.server.machine.client_events import client_lost, end_cluster, end_session
from rain.server.machine.drain import advance_drains
from rain.server.machine.effects import DropClient, DropWorker
from rain.server.machine.state import ServerState
from rain.server.machine.worker_events import worker_left

#: Whoever starts a cluster that ends by itself has so long to get its workers ready and to connect.
FIRST_CLIENT_LIMIT_S = 60.0


def tick(state: ServerState) -> None:
    """What is due at this time."""
    _workers(state)
    _clients(state)
    advance_drains(state)
    for session in list(state.sessions.values()):
        if session.orphaned_s is not None and state.now - session.orphaned_s >= (session.ttl_s or 0.0):
            end_session(state, session.number)
    _end_where_idle(state)


def _end_where_idle(state: ServerState) -> None:
    if state.idle_end_s is None:
        return
    if state.clients or state.sessions:
        state.idle_since_s = None
        return
    if state.idle_since_s is None:
        state.idle_since_s = state.now
    limit_s = state.idle_end_s if state.was_used else max(state.idle_end_s, FIRST_CLIENT_LIMIT_S)
    if state.now - state.idle_since_s >= limit_s:
        end_cluster(state)


def _workers(state: ServerState) -> None:
    for worker in list(state.workers.values()):
        silent_s = state.now - worker.heard_s
        if silent_s >= DEAD_AFTER_S:
            state.outbox.say(DropWorker(worker.number, f"silent for {silent_s:.0f} s"))
            worker_left(state, worker.number)
            continue
        worker.suspect = silent_s >= SUSPECT_AFTER_S
        if state.now - worker.asked_s >= HEARTBEAT_S:
            worker.asked_s = state.now
            state.outbox.tell_worker(worker.number, ServerPing())


def _clients(state: ServerState) -> None:
    for client in list(state.clients.values()):
        silent_s = state.now - client.heard_s
        if silent_s >= CLIENT_DEAD_AFTER_S:
            state.outbox.say(DropClient(client.number, f"silent for {silent_s:.0f} s"))
            client_lost(state, client.number)
        elif state.now - client.told_s >= HEARTBEAT_S:
            client.told_s = state.now
            state.outbox.tell_client(client.number, ServerAlive())
