"""The server's machine: takes events, decides, gives orders. The only way to change its state is `handle`."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import assert_never

from rain.core.errors import ProtocolViolation
from rain.protocol.attaching import FindTasks, ReadGraph
from rain.protocol.client import (
    AttachSession,
    CancelTasks,
    ClientAlive,
    CloseSession,
    DrainWorker,
    FromClient,
    Leave,
    Locate,
    OpenSession,
    Shutdown,
    Submit,
    Unkeep,
    Unwait,
    Upload,
    Wait,
)
from rain.protocol.feed import WatchSession
from rain.protocol.queries import QueryObjects, QueryServer, QueryTasks, QueryWhy, ServerInfo
from rain.protocol.shown import Impossible
from rain.protocol.worker import Done, Failed, Fetched, FromWorker, Retracted, TasksProgressed, Unavailable, WorkerPong
from rain.server.machine import client_events as client
from rain.server.machine import worker_events as worker
from rain.server.machine.attach import attach_session
from rain.server.machine.attempts import tasks_progressed
from rain.server.machine.drain import drain_worker
from rain.server.machine.effects import DropClient, DropWorker, Effect
from rain.server.machine.events import (
    ClientJoined,
    ClientLeft,
    ClientSaid,
    Event,
    Tick,
    WorkerJoined,
    WorkerLeft,
    WorkerSaid,
)
from rain.server.machine.feed import tell_watchers
from rain.server.machine.finish import tasks_done
from rain.server.machine.liveness import tick
from rain.server.machine.retraction import retracted
from rain.server.machine.scheduler import plan
from rain.server.machine.settle import settle
from rain.server.machine.snapshot import impossible_tasks, server_info
from rain.server.machine.state import MIN_STRETCH, ConnectedClient, ServerState, Worker
from rain.server.machine.tables import STASHED
from rain.server.machine.unrunnable import tell_unrunnable
from rain.server.machine.why import query_why


class ServerMachine:
    """Decides what a cluster does.

    `seed` decides where choices are otherwise equal. `epoch_offset_s` plus the machine's time is seconds since the
    epoch. The time that is passed in must be above zero and never go back. `version`, `host`, `pid` and `log` are what
    `server_info` says of the server. Stretches of at least `min_stretch` neighbouring tasks are finished as slices.
    With `idle_end_s` the cluster ends when there was neither a client nor a session for so long.
    """

    def __init__(
        self,
        seed: int,
        *,
        version: str = "",
        host: str = "",
        pid: int = 0,
        log: str = "",
        epoch_offset_s: float = 0.0,
        min_stretch: int = MIN_STRETCH,
        idle_end_s: float | None = None,
    ) -> None:
        self.state = ServerState(
            seed=seed,
            version=version,
            host=host,
            pid=pid,
            log=log,
            epoch_offset_s=epoch_offset_s,
            min_stretch=min_stretch,
            idle_end_s=idle_end_s,
        )

    def handle(self, events: Sequence[Event], now: float) -> list[Effect]:
        """Takes what happened, in order, then plans once; returns what is to be done, in order."""
        state = self.state
        state.now = now
        for event in events:
            self._handle(event)
        settle(state)
        state.outbox.flush_orders(self._unheld)
        plan(state)
        tell_unrunnable(state)
        if state.feeds:
            tell_watchers(state)
        return state.outbox.flush(self._unneeded)

    def server_info(self) -> ServerInfo:
        """Workers and sessions as they are now; changes nothing."""
        return server_info(self.state)

    def impossible_tasks(self) -> tuple[Impossible, ...]:
        """Ready tasks that no present worker could ever run; changes nothing that matters."""
        return impossible_tasks(self.state)

    def _handle(self, event: Event) -> None:
        state = self.state
        match event:
            case WorkerSaid():
                speaker = state.workers.get(event.worker)
                if speaker is not None:
                    self._worker_said(speaker, event.message)
            case ClientSaid():
                asker = state.clients.get(event.client)
                if asker is not None:
                    self._client_said(asker, event.message)
            case Tick():
                tick(state)
            case ClientJoined():
                client.client_lost(state, event.client)
                state.was_used = True
                state.clients[event.client] = ConnectedClient(event.client, heard_s=state.now, told_s=state.now)
            case ClientLeft():
                client.client_lost(state, event.client)
            case WorkerJoined():
                worker.worker_joined(state, event)
            case WorkerLeft():
                worker.worker_left(state, event.worker)
            case _:
                assert_never(event)

    def _worker_said(self, speaker: Worker, message: FromWorker) -> None:
        state = self.state
        speaker.heard_s = state.now
        if speaker.suspect:
            speaker.suspect, speaker.has_news = False, True
        try:
            match message:
                case Done():
                    tasks_done(state, speaker, message)
                case Fetched():
                    worker.objects_fetched(state, speaker, message)
                case Failed():
                    worker.attempt_ended_badly(state, speaker, message)
                case Retracted():
                    retracted(state, speaker, message)
                case Unavailable():
                    worker.inputs_unavailable(state, speaker, message)
                case TasksProgressed():
                    tasks_progressed(state, speaker, message)
                case WorkerPong():
                    pass
                case _:
                    assert_never(message)
        except ProtocolViolation as violation:
            state.outbox.say(DropWorker(speaker.number, str(violation)))
            worker.worker_left(state, speaker.number)

    def _client_said(self, asker: ConnectedClient, message: FromClient) -> None:
        asker.heard_s = self.state.now
        try:
            self._client_asked(asker, message)
        except ProtocolViolation as violation:
            self.state.outbox.say(DropClient(asker.number, str(violation)))
            client.client_lost(self.state, asker.number)

    def _client_asked(self, asker: ConnectedClient, message: FromClient) -> None:
        state = self.state
        match message:
            case Submit():
                client.submit(state, asker, message)
            case Wait():
                client.wait(state, asker, message)
            case Locate():
                client.locate(state, asker, message)
            case Unkeep():
                client.unkeep(state, asker, message)
            case Upload():
                client.upload(state, asker, message)
            case OpenSession():
                client.open_session(state, asker, message)
            case CloseSession():
                client.close_session(state, asker, message)
            case _:
                self._client_asked_rarely(asker, message)

    def _client_asked_rarely(
        self,
        asker: ConnectedClient,
        message: Unwait
        | QueryTasks
        | QueryObjects
        | CancelTasks
        | QueryServer
        | QueryWhy
        | DrainWorker
        | Shutdown
        | ClientAlive
        | AttachSession
        | ReadGraph
        | FindTasks
        | WatchSession
        | Leave,
    ) -> None:
        state = self.state
        match message:
            case ClientAlive():
                pass
            case Unwait():
                client.unwait(state, asker, message)
            case QueryTasks():
                client.query_tasks(state, asker, message)
            case QueryObjects():
                client.query_objects(state, asker, message)
            case CancelTasks():
                client.cancel_tasks(state, asker, message)
            case QueryServer():
                client.query_server(state, asker, message)
            case QueryWhy():
                query_why(state, asker, message)
            case DrainWorker():
                drain_worker(state, asker, message)
            case Shutdown():
                client.shutdown(state, asker, message)
            case AttachSession():
                attach_session(state, asker, message)
            case FindTasks():
                client.find_named(state, asker, message)
            case ReadGraph():
                client.read_rows(state, asker, message)
            case WatchSession():
                client.watch_session(state, asker, message)
            case Leave():
                client.leave(state, asker, message)
            case _:
                assert_never(message)

    def _unheld(self, worker: int, session_number: int, objects: array[int]) -> array[int]:
        session = self.state.sessions.get(session_number)
        if session is None:
            return objects
        table = session.objects
        if table.replicas:
            return array("I", [obj for obj in objects if not table.is_held_by(obj, worker)])
        holder = table.holder
        return array("I", [obj for obj in objects if holder[obj] != worker])

    def _unneeded(self, session_number: int, objects: array[int]) -> array[int]:
        session = self.state.sessions.get(session_number)
        if session is None:
            return objects
        flags, n_objects = session.objects.flags, len(session.objects)
        coming = set(session.uploads).union(*[part.constants for part in session.parts])
        is_here = [(obj < n_objects and flags[obj] & STASHED) or obj in coming for obj in objects]
        return array("I", [obj for obj, here in zip(objects, is_here, strict=True) if not here])
