"""The worker's machine: the only way to change its state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from rain.core.liveness import DEAD_AFTER_S, Tick
from rain.core.resources import Offer
from rain.protocol.worker import Cancel, Compute, Drop, EndSession, FromServer, Retract, ServerPing, Stop, WorkerPong
from rain.worker.machine.compute import compute
from rain.worker.machine.dispatch import dispatch
from rain.worker.machine.effects import Effect, Exit
from rain.worker.machine.events import (
    Event,
    ExecutorEnded,
    ExecutorProgressed,
    ExecutorReady,
    ExecutorReported,
    InputsArrived,
    InputsUnavailable,
    ServerSaid,
)
from rain.worker.machine.executors import executor_ended, executor_ready, staff, stop_overdue
from rain.worker.machine.gpus import GpuPool
from rain.worker.machine.local_events import executor_reported, inputs_arrived, inputs_unavailable
from rain.worker.machine.outbox import TurnEffects
from rain.worker.machine.progress import executor_progressed, tell_progress
from rain.worker.machine.retract import retract
from rain.worker.machine.server_events import cancel, drop, end_session
from rain.worker.machine.state import Stage, State


class WorkerMachine:
    """Decides what a worker does; `now` is any clock that does not run backwards, in seconds."""

    def __init__(self, offer: Offer, *, number: int) -> None:
        """A worker that offers these resources and was given this number by the server's `Welcome`."""
        self.state = State(number=number, offer=offer, free=offer, gpus=GpuPool(offer.gpus))

    def start(self, now: float) -> list[Effect]:
        """Orders the first executors; called once, when the server has said welcome."""
        self.state.heard_at = now
        outbox = TurnEffects()
        staff(self.state, now, outbox)
        return outbox.close(urgent=False)

    def handle(self, events: Iterable[Event], now: float) -> list[Effect]:
        """What follows from these events. After `Exit` nothing follows any more.

        Raises ProtocolViolation when the server's message contradicts itself: the worker cannot go on then.
        """
        state = self.state
        if state.exited:
            return []
        outbox = TurnEffects()
        for event in events:
            self._take(event, now, outbox)
            if self.state.exited:
                return outbox.close(urgent=True)
        tell_progress(state, now, outbox)
        staff(state, now, outbox)
        dispatch(state, now, outbox)
        return outbox.close(urgent=outbox.has_results and self._has_time())

    @property
    def n_ready(self) -> int:
        """How many executors stand ready or work; the worker is ready when it is `n_wanted` for the first time."""
        return sum(executor.stage is Stage.READY for executor in self.state.executors.values())

    @property
    def n_wanted(self) -> int:
        """How many executors there are whatever is to do: one per cpu."""
        return self.state.n_base_executors

    def _take(self, event: Event, now: float, outbox: TurnEffects) -> None:
        state = self.state
        match event:
            case ExecutorReported():
                executor_reported(state, event, outbox)
            case ServerSaid():
                state.heard_at = now
                self._server_said(event.message, outbox)
            case InputsArrived():
                inputs_arrived(state, event, outbox)
            case InputsUnavailable():
                inputs_unavailable(state, event, outbox)
            case ExecutorReady():
                executor_ready(state, event)
            case ExecutorProgressed():
                executor_progressed(state, event)
            case ExecutorEnded():
                # What its task said goes before the failure by which that ends.
                tell_progress(state, now, outbox, now_or_never=True)
                executor_ended(state, event, now, outbox)
            case Tick():
                stop_overdue(state, now, outbox)
                if now - state.heard_at > DEAD_AFTER_S:
                    self._exit(outbox)
            case _:
                assert_never(event)

    def _server_said(self, message: FromServer, outbox: TurnEffects) -> None:
        state = self.state
        match message:
            case Compute():
                compute(state, message, outbox)
            case Drop():
                drop(state, message, outbox)
            case Cancel():
                cancel(state, message, outbox)
            case Retract():
                retract(state, message, outbox)
            case EndSession():
                end_session(state, message.session, outbox)
            case ServerPing():
                outbox.tell(WorkerPong())
            case Stop():
                self._exit(outbox)
            case _:
                assert_never(message)

    def _exit(self, outbox: TurnEffects) -> None:
        self.state.exited = True
        outbox.order(Exit())

    def _has_time(self) -> bool:
        """Nothing is queued and nothing short runs, so results need not wait for company."""
        state = self.state
        return not state.lanes and not any(
            batch.is_short for executor in state.executors.values() for batch in executor.batches
        )
