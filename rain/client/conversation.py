"""Requests of any thread and their outcomes, around the machine; the frames leave in the I/O thread, in order.

Whoever asks has the machine decide at once, in its own thread, and sends at once, too, where the message is small and
nothing waits; otherwise the I/O thread is woken to send. So a request costs no turn of the loop, only its answer does.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar, assert_never

from rain.client.machine.effects import (
    ClientEffect,
    MarkSessionFailed,
    MarkUnrunnable,
    OpenWindow,
    Reply,
    Resolve,
    SendToServer,
    Trouble,
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
from rain.client.machine.machine import ClientMachine
from rain.client.pacing import Ticket
from rain.protocol.client import ToClient
from rain.protocol.codec import encode
from rain.wire.endpoint import Frames, size_bytes

T = TypeVar("T")

Make: TypeAlias = Callable[[int], Request]
Outcome: TypeAlias = Reply | Trouble | None
News: TypeAlias = MarkSessionFailed | MarkUnrunnable
Answer: TypeAlias = "concurrent.futures.Future[Any]"


#: What nobody waits for may wait so long for something to travel with.
HOLD_S = 0.005
#: What travels together is at most so many frames, of so many bytes in all.
MAX_TOGETHER = 16
MAX_TOGETHER_BYTES = 32 << 10


class Conversation:
    """What was asked and not answered; `send` and `on_session_news` are called in the I/O thread.

    `send_at_once` is called in any other thread, and returns False where a message has to wait for the I/O thread.
    """

    def __init__(
        self,
        send: Callable[[Frames], None],
        send_at_once: Callable[[Frames], bool],
        on_session_news: Callable[[News], None],
    ) -> None:
        self._send = send
        self._send_at_once = send_at_once
        self._on_session_news = on_session_news
        self._numbers = itertools.count(1)
        #: Guards all that follows. Reentrant: a garbage collection may let go of a session at any point.
        self._lock = threading.RLock()
        self._machine = ClientMachine()
        self._waiting: dict[int, Answer] = {}
        self._submits: dict[int, tuple[Sequence[Frames], Ticket]] = {}
        self._outgoing: deque[Frames] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._io_thread = 0
        self._is_sending = False
        self._is_woken = False
        #: What nobody waits for is sent when the time is up.
        self._is_held = False
        self._has_ended = False

    def start(self) -> None:
        """From now on frames leave, in the loop that runs here."""
        self._io_thread = threading.get_ident()
        self._loop = asyncio.get_running_loop()
        self._flush()

    # ------------------------------------------------------------------ in any thread

    def ask(self, make: Make) -> concurrent.futures.Future[Reply | Trouble]:
        """Sends the request that `make(number)` builds; the future has its one outcome. Cancelling it gives it up."""
        number = next(self._numbers)
        return self._begin(number, Requested(make(number)))

    def ask_on(
        self, make: Make, then: Callable[[Reply | Trouble], concurrent.futures.Future[T] | None]
    ) -> concurrent.futures.Future[tuple[Reply | Trouble, T | None]]:
        """The same, and where `then(outcome)` begins something with it, the outcome of that, too.

        `then` is called in the thread in which the answer is heard.
        """
        both: Answer = concurrent.futures.Future()
        first = self.ask(make)

        def go_on(answered: Answer) -> None:
            if answered.cancelled():
                both.cancel()
                return
            try:
                second = then(answered.result())
            except Exception as error:  # the client was closed just now: whoever waits is told
                _fail(both, error)
                return
            if second is None:
                _fulfil(both, (answered.result(), None))
            else:
                second.add_done_callback(lambda last: _fulfil_with(both, last, answered.result()))
                both.add_done_callback(lambda _: second.cancel())

        first.add_done_callback(go_on)
        both.add_done_callback(lambda _: first.cancel())
        return both

    def submit(
        self, session: int, n_tasks: int, n_bytes: int, messages: Sequence[Frames], ticket: Ticket
    ) -> concurrent.futures.Future[Trouble | None]:
        """Sends the messages of a submit when the window is open and the ticket can still be taken."""
        number = next(self._numbers)
        self._submits[number] = (messages, ticket)
        return self._begin(number, SubmitBegan(number, session, n_tasks, n_bytes))

    def tell(self, frames: Frames) -> None:
        """Sends a message that nobody answers: with the next one, or within milliseconds."""
        with self._lock:
            self._outgoing.append(frames)
            if self._is_held or self._loop is None:
                return
            self._is_held = True
        # The loop may have ended: then nothing is sent any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.call_later, HOLD_S, self._end_hold)

    def _begin(self, number: int, event: ClientEvent) -> Answer:
        answer: Answer = concurrent.futures.Future()
        with self._lock:
            if not self._has_ended:
                self._waiting[number] = answer
        answer.add_done_callback(lambda done: self._give_up(number) if done.cancelled() else None)
        if self._has_ended:
            answer.cancel()
        else:
            self._handle(event)
        return answer

    def _give_up(self, number: int) -> None:
        with self._lock:
            self._submits.pop(number, None)
            waited = self._waiting.pop(number, None)
        if waited is not None:
            self._handle(RequestGivenUp(number))

    def _handle(self, *events: ClientEvent) -> None:
        news: list[News | tuple[Answer, Outcome]] = []
        with self._lock:
            for effect in self._machine.handle(*events):
                self._carry_out(effect, news)
        self._wake()
        # Not under the lock: who hears of it may hold locks of its own, and ask for something else.
        for each in news:
            if isinstance(each, tuple):
                _fulfil(*each)
            else:
                self._on_session_news(each)

    def _carry_out(self, effect: ClientEffect, news: list[News | tuple[Answer, Outcome]]) -> None:
        match effect:
            case SendToServer():
                self._outgoing.append([encode(effect.message)])
            case Resolve():
                self._resolve(effect.request, effect.outcome, news)
            case OpenWindow():
                messages, ticket = self._submits[effect.request]
                if ticket.take():
                    self._outgoing.extend(messages)
                self._resolve(effect.request, None, news)
            case MarkSessionFailed() | MarkUnrunnable():
                news.append(effect)
            case _:
                assert_never(effect)

    def _resolve(self, number: int, outcome: Outcome, news: list[News | tuple[Answer, Outcome]]) -> None:
        self._submits.pop(number, None)
        answer = self._waiting.pop(number, None)
        if answer is not None:
            news.append((answer, outcome))

    def _wake(self) -> None:
        with self._lock:
            # Reentered by a garbage collection: whoever sends goes on with what was added.
            if self._is_woken or not self._outgoing or self._loop is None or self._is_sending:
                return
            is_elsewhere = threading.get_ident() != self._io_thread
            if is_elsewhere:
                self._flush_at_once()
            if not self._outgoing:
                return
            self._is_woken = True
        # The loop may have ended: then nothing is sent any more.
        with contextlib.suppress(RuntimeError):
            if is_elsewhere:
                self._loop.call_soon_threadsafe(self._flush)
            else:
                self._loop.call_soon(self._flush)

    def _flush_at_once(self) -> None:
        """Sends what can be sent without the I/O thread, which then need not be woken."""
        self._is_sending = True
        try:
            while self._outgoing:
                count, frames = self._together()
                if not self._send_at_once(frames):
                    break
                for _ in range(count):
                    self._outgoing.popleft()
        finally:
            self._is_sending = False

    def _together(self) -> tuple[int, Frames]:
        """The next messages that leave as one, how many and their frames.

        Each that left alone would wake the transport here and there, and the server.
        """
        together: Frames = []
        count = size = 0
        # By position: a garbage collection may let go of a session here, which adds to the end.
        for position in range(len(self._outgoing)):
            message = self._outgoing[position]
            size += size_bytes(message)
            if count and (len(together) + len(message) > MAX_TOGETHER or size > MAX_TOGETHER_BYTES):
                break
            together += message
            count += 1
        return count, together

    # ------------------------------------------------------------------ in the I/O thread

    async def asked(self, make: Make) -> Reply | Trouble:
        """The same as `ask`, for coroutines of the I/O thread."""
        return await asyncio.wrap_future(self.ask(make))

    def heard(self, messages: Iterable[ToClient]) -> None:
        """What the server said."""
        self._handle(*map(MessageHeard, messages))

    def server_gone(self, reason: str) -> None:
        """Nothing is heard any more."""
        self._handle(ServerWentAway(reason))

    def end(self) -> None:
        """The loop will run nothing any more; who still waits is told, and who comes later."""
        with self._lock:
            self._has_ended = True
            waiting = list(self._waiting.values())
        for answer in waiting:
            answer.cancel()

    def _end_hold(self) -> None:
        self._is_held = False
        if not self._is_woken:
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            self._is_woken = False
            while self._outgoing:
                count, frames = self._together()
                for _ in range(count):
                    self._outgoing.popleft()
                self._send(frames)


def _fulfil(answer: Answer, outcome: Any) -> None:
    """Sets the outcome, unless nobody waits for it any more."""
    if answer.set_running_or_notify_cancel():
        answer.set_result(outcome)


def _fail(answer: Answer, error: BaseException) -> None:
    if answer.set_running_or_notify_cancel():
        answer.set_exception(error)


def _fulfil_with(both: Answer, last: Answer, outcome: Reply | Trouble) -> None:
    if last.cancelled():
        both.cancel()
    elif (error := last.exception()) is not None:
        _fail(both, error)
    else:
        _fulfil(both, (outcome, last.result()))
