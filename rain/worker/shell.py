"""The worker's shell: frames and news of processes become events, one call of the machine per wake, effects are done.

It decides nothing. All is called from one loop; nothing here waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol, assert_never

from rain.core.ids import object_name
from rain.core.liveness import Tick
from rain.protocol.columns import EMPTY, pack
from rain.protocol.executor import ForgetSession, Progressed, Report, ToExecutor
from rain.protocol.worker import Compute, FromServer, Unavailable
from rain.wire.holder import Stored
from rain.worker.attached import AttachedUsers
from rain.worker.batches import Batches
from rain.worker.crash_text import users_frames
from rain.worker.executors import ProcessEnd
from rain.worker.machine.effects import (
    CloseSessionStore,
    Complain,
    Discard,
    Effect,
    Exit,
    Fetch,
    KillExecutor,
    LearnPeers,
    ReportDone,
    RunBatch,
    StartExecutor,
    Tell,
)
from rain.worker.machine.events import Event, ExecutorEnded, ExecutorProgressed, ExecutorReady, ServerSaid
from rain.worker.plausible import plausible_progress
from rain.worker.reports import Reports
from rain.worker.sources import store_inline_sources
from rain.worker.store import ObjectStore
from rain.worker.transfers import Transfers

_log = logging.getLogger("rain.worker")

#: Time passes for the machine this often.
TICK_S = 0.5


class Decider(Protocol):
    """What decides; see `rain.worker.machine`."""

    def start(self, now: float) -> list[Effect]: ...

    def handle(self, events: Iterable[Event], now: float) -> list[Effect]: ...

    @property
    def n_ready(self) -> int: ...

    @property
    def n_wanted(self) -> int: ...


class Processes(Protocol):
    """The executors; see `rain.worker.executors`."""

    def start(self, executor: int) -> None: ...

    def send(self, executor: int, message: ToExecutor) -> None: ...

    def kill(self, executor: int) -> None: ...


class WorkerShell:
    """Everything between the link to the server, the executors, the store and the machine.

    `number` is the worker's, as the server gave it. `on_ready` is called once, when the first tasks on every cpu would
    start at once. `on_exit(reason)` is called when the worker is to end: None when it was told to, else what went
    wrong.
    """

    def __init__(
        self,
        machine: Decider,
        store: ObjectStore,
        *,
        number: int,
        send: Callable[[bytes], None],
        on_ready: Callable[[], None],
        on_exit: Callable[[str | None], None],
    ) -> None:
        self._machine = machine
        self._number = number
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._reports = Reports(store, send)
        self._attached = AttachedUsers()
        self._batches = Batches(store, self._objects_damaged, self._attached)
        self._on_ready = on_ready
        self._on_exit = on_exit
        self._events: list[Event] = []
        self._turn_handle: asyncio.Handle | None = None
        self._tick_timer: asyncio.TimerHandle | None = None
        self._is_ready = False
        self._is_closed = False
        self._complaint: str | None = None

    def start(self, processes: Processes, transfers: Transfers) -> None:
        """Has the first executors made, and lets time pass."""
        self._processes = processes
        self._transfers = transfers
        self._carry_out(self._machine.start(self._loop.time()))
        self._tick_timer = self._loop.call_later(TICK_S, self._tick)

    def close(self) -> None:
        """Nothing happens any more, except that held results are sent."""
        self._is_closed = True
        self._reports.flush()
        for handle in (self._turn_handle, self._tick_timer):
            if handle is not None:
                handle.cancel()

    def server_said(self, messages: Iterable[FromServer]) -> None:
        """Messages of the server, in order. Raises ProtocolViolation."""
        for message in messages:
            if isinstance(message, Compute):
                store_inline_sources(message, self._store)
                self._attached.learn(message)
            self._events.append(ServerSaid(message))
        # The wake is over: nothing more comes in this turn.
        self._turn()

    def post(self, event: Event) -> None:
        """Something happened; the machine hears of it with everything else that happens in this turn."""
        self._events.append(event)
        if self._turn_handle is None and not self._is_closed:
            self._turn_handle = self._loop.call_soon(self._turn)

    def executor_ready(self, executor: int) -> None:
        """An executor waits for tasks."""
        self.post(ExecutorReady(executor))

    def executor_reported(self, executor: int, report: Report) -> None:
        """Tasks of an executor ended."""
        self.post(self._batches.take(executor, report))
        self._batches.look_after_inputs()

    def executor_progressed(self, executor: int, message: Progressed) -> None:
        """A task said how far it is."""
        progress = plausible_progress(message.progress)
        self.post(ExecutorProgressed(executor, message.session, message.task, message.attempt, progress))

    def executor_ended(self, executor: int, ending: ProcessEnd) -> None:
        """Nothing is left of an executor."""
        self._batches.forget_executor(executor)
        stderr = users_frames(ending.stderr)
        event = ExecutorEnded(executor, ending.exit_code, ending.signal, ending.n_started, stderr, ending.stdout)
        self.post(event)
        self._batches.look_after_inputs()

    def source(self, session: int, obj: int) -> Stored | None:
        """An object for others, None where it is not here. One that was spoilt has no bytes any more."""
        stored = self._store.get(session, obj)
        if stored is not None and not isinstance(stored.data, bytes):
            self._batches.look_after(session, (obj,))
        return stored

    def forkserver_died(self) -> None:
        """No executor can be made any more."""
        self._on_exit("its forkserver died: an executor cannot be made any more")

    def _objects_damaged(self, session: int, objects: list[int]) -> None:
        """The server is to count on them no more: it takes back what needs them here, and has them made again."""
        names = ", ".join(object_name(session, obj) for obj in objects[:10])
        _log.warning("lost %d objects, somebody changed or removed their files: %s", len(objects), names)
        holders = pack("I", [self._number] * len(objects))
        # After what is posted already: a task that spoilt its own inputs is reported as failed first, or the server
        # would take it back, and never learn that it does so every time.
        self._loop.call_soon(self._reports.tell, Unavailable(session, pack("I", objects), holders, EMPTY, EMPTY))

    def _tick(self) -> None:
        self._tick_timer = self._loop.call_later(TICK_S, self._tick)
        self.post(Tick())

    def _turn(self) -> None:
        if self._turn_handle is not None:
            self._turn_handle.cancel()
            self._turn_handle = None
        if self._is_closed:
            return
        events, self._events = self._events, []
        self._carry_out(self._machine.handle(events, self._loop.time()))
        if not self._is_ready and self._machine.n_ready >= self._machine.n_wanted:
            self._is_ready = True
            self._on_ready()

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case RunBatch():
                for message in self._batches.run(effect):
                    self._processes.send(effect.executor, message)
            case ReportDone():
                self._reports.report(effect)
            case Fetch():
                self._transfers.fetch(effect)
            case Tell():
                self._reports.tell(effect.message)
            case Discard():
                self._store.discard(effect.session, effect.objects)
                self._attached.discard(effect.session, effect.objects)
            case StartExecutor():
                self._processes.start(effect.executor)
            case KillExecutor():
                self._processes.kill(effect.executor)
            case LearnPeers():
                self._transfers.learn(effect.peers)
            case CloseSessionStore():
                self._close_session(effect)
            case Complain():
                self._complaint = effect.text
                _log.error("%s", effect.text)
            case Exit():
                self._on_exit(self._complaint)
            case _:
                assert_never(effect)

    def _close_session(self, effect: CloseSessionStore) -> None:
        self._transfers.close_session(effect.session)
        self._store.close_session(effect.session)
        self._attached.close_session(effect.session)
        for executor in effect.executors:
            self._processes.send(executor, ForgetSession(effect.session))
