"""The client's decisions: which answer wakes whom, what a failed session or a lost server means to those who wait."""

from __future__ import annotations

from collections import deque
from typing import assert_never

from rain.client.machine.effects import (
    ClientEffect,
    MarkSessionFailed,
    MarkUnrunnable,
    OpenWindow,
    Reply,
    Resolve,
    SendToServer,
    Trouble,
    trouble_of,
)
from rain.client.machine.events import (
    ClientEvent,
    MessageHeard,
    Request,
    Requested,
    RequestGivenUp,
    ServerWentAway,
    SubmitBegan,
)
from rain.client.machine.window import SubmitWindow
from rain.core.ids import session_name
from rain.protocol.attaching import FindTasks, ReadGraph
from rain.protocol.client import (
    CancelTasks,
    CloseSession,
    Leave,
    Locate,
    Progress,
    RequestFailed,
    ServerAlive,
    SessionAttached,
    SessionFailed,
    SessionOpened,
    ToClient,
    Unrunnable,
    Unwait,
    Wait,
)
from rain.protocol.feed import WatchSession
from rain.protocol.queries import QueryObjects, QueryTasks

_LEFT = Trouble(reason="the client was closed: make a new one with `Client(…)`", server_gone=True)


class _SessionState:
    """What is known of one open session."""

    __slots__ = ("failed", "waiting_submits", "window")

    def __init__(self) -> None:
        self.failed: Trouble | None = None
        self.window = SubmitWindow()
        #: Submits that wait for the window, in order.
        self.waiting_submits: deque[SubmitBegan] = deque()


class ClientMachine:
    """`handle(*events)` is the only way to change it; it never asks the time and never does I/O."""

    def __init__(self) -> None:
        self._requests: dict[int, Request] = {}
        self._sessions: dict[int, _SessionState] = {}
        self._gone: Trouble | None = None

    def handle(self, *events: ClientEvent) -> list[ClientEffect]:
        """Takes what happened, in order; returns what to do, in order."""
        effects: list[ClientEffect] = []
        for event in events:
            match event:
                case MessageHeard():
                    self._heard(event.message, effects)
                case Requested():
                    self._requested(event.message, effects)
                case RequestGivenUp():
                    self._given_up(event.request, effects)
                case SubmitBegan():
                    self._submit_began(event, effects)
                case ServerWentAway():
                    self._went_away(Trouble(reason=event.reason, server_gone=True), effects)
                case _:
                    assert_never(event)
        return effects

    def _requested(self, message: Request, effects: list[ClientEffect]) -> None:
        trouble = self._gone
        if trouble is None and isinstance(message, Wait):
            trouble = self._failure(message.session)
        if trouble is not None:
            effects.append(Resolve(message.request, trouble))
            return
        if isinstance(message, Leave):
            self._went_away(_LEFT, effects)
        self._requests[message.request] = message
        effects.append(SendToServer(message))
        if isinstance(message, CloseSession):
            self._end_session(message.session, effects)

    def _given_up(self, request: int, effects: list[ClientEffect]) -> None:
        message = self._requests.pop(request, None)
        if isinstance(message, Wait | Locate | WatchSession):
            effects.append(SendToServer(Unwait(request)))
        for state in self._sessions.values():
            kept = [submit for submit in state.waiting_submits if submit.request != request]
            if len(kept) != len(state.waiting_submits):
                state.waiting_submits = deque(kept)

    def _submit_began(self, event: SubmitBegan, effects: list[ClientEffect]) -> None:
        trouble = self._gone or self._failure(event.session)
        if trouble is not None:
            effects.append(Resolve(event.request, trouble))
            return
        state = self._sessions.get(event.session)
        if state is None:
            effects.append(Resolve(event.request, _closed(event.session)))
            return
        state.waiting_submits.append(event)
        self._open_window(state, effects)

    def _went_away(self, trouble: Trouble, effects: list[ClientEffect]) -> None:
        gone = self._gone = self._gone or trouble
        waiting = list(self._requests)
        for state in self._sessions.values():
            waiting += [submit.request for submit in state.waiting_submits]
        self._requests.clear()
        self._sessions.clear()
        effects.extend(Resolve(request, gone) for request in waiting)

    def _heard(self, message: ToClient, effects: list[ClientEffect]) -> None:
        match message:
            case Progress():
                state = self._sessions.get(message.session)
                if state is not None:
                    state.window.done(message.done)
                    self._open_window(state, effects)
            case Unrunnable():
                effects.append(MarkUnrunnable(message.session, message.reason))
            case SessionFailed():
                self._session_failed(message, effects)
            case RequestFailed():
                trouble = Trouble(
                    reason=message.reason,
                    task=message.task,
                    attempt=message.attempt,
                    worker=message.worker,
                    failure=message.failure,
                    info=message.info,
                )
                self._answer(message.request, trouble, effects)
            case ServerAlive():
                pass
            case SessionOpened():
                self._sessions[message.session] = _SessionState()
                self._answer(message.request, message, effects)
            case SessionAttached():
                # It may be a session of this client's own.
                if message.session not in self._sessions:
                    state = self._sessions[message.session] = _SessionState()
                    state.window.attached(message.n_tasks, message.done)
                    state.failed = None if message.failed is None else trouble_of(message.failed)
                self._answer(message.request, message, effects)
            case _:
                self._answer(message.request, message, effects)

    def _answer(self, request: int, outcome: Reply | Trouble, effects: list[ClientEffect]) -> None:
        """Answers to requests that were given up are normal."""
        if self._requests.pop(request, None) is not None:
            effects.append(Resolve(request, outcome))

    def _session_failed(self, message: SessionFailed, effects: list[ClientEffect]) -> None:
        state = self._sessions.get(message.session)
        if state is None or state.failed is not None:
            return
        trouble = state.failed = trouble_of(message)
        effects.append(MarkSessionFailed(message.session, trouble))
        self._end_requests(message.session, (Wait,), trouble, effects)

    def _end_session(self, session: int, effects: list[ClientEffect]) -> None:
        self._end_requests(
            session,
            (Wait, Locate, QueryTasks, QueryObjects, ReadGraph, FindTasks, CancelTasks, WatchSession),
            _closed(session),
            effects,
        )
        self._sessions.pop(session, None)

    def _end_requests(
        self, session: int, kinds: tuple[type[Request], ...], trouble: Trouble, effects: list[ClientEffect]
    ) -> None:
        """Wakes those who made requests of these kinds in this session, and those whose submits wait for the window."""
        ended = [
            number
            for number, request in self._requests.items()
            if isinstance(request, kinds) and getattr(request, "session", None) == session
        ]
        for number in ended:
            del self._requests[number]
        state = self._sessions.get(session)
        if state is not None:
            ended += [submit.request for submit in state.waiting_submits]
            state.waiting_submits.clear()
        effects.extend(Resolve(number, trouble) for number in ended)

    def _open_window(self, state: _SessionState, effects: list[ClientEffect]) -> None:
        while state.waiting_submits and state.window.is_open:
            submit = state.waiting_submits.popleft()
            state.window.sent(submit.n_tasks, submit.n_bytes)
            effects.append(OpenWindow(submit.request))

    def _failure(self, session: int) -> Trouble | None:
        state = self._sessions.get(session)
        return state.failed if state is not None else None


def _closed(session: int) -> Trouble:
    """What those hear who wait for something of a session that is closed meanwhile."""
    text = f"session {session_name(session)} was closed: open another one with `client.new_session()`"
    return Trouble(reason=text, session_failed=True)
