"""Requests of any thread: sent at once where that goes, else by the I/O thread; each has exactly one outcome."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import pytest

from rain.client.conversation import MAX_TOGETHER, MAX_TOGETHER_BYTES, Conversation
from rain.client.machine.effects import MarkSessionFailed, Trouble
from rain.client.pacing import Ticket
from rain.protocol.client import (
    Ack,
    CloseSession,
    OpenSession,
    SessionFailed,
    SessionOpened,
    Unwait,
    Wait,
    WaitDone,
    from_client_decoder,
)
from rain.wire.endpoint import Frames

LIMIT_S = 5.0


class Line:
    """Stands for the link; what was sent in which way, and a loop in a thread of its own."""

    def __init__(self) -> None:
        self.is_free = True
        self.sent: list[Frames] = []
        self.threads: list[int] = []
        self.news: list[object] = []
        self.told = False
        self.conversation = Conversation(self._send, self._send_at_once, self.news.append)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.in_loop(self.conversation.start)

    def _send(self, frames: Frames) -> None:
        self.threads.append(threading.get_ident())
        self.sent.append(frames)

    def _send_at_once(self, frames: Frames) -> bool:
        if self.is_free:
            self._send(frames)
        return self.is_free

    def in_loop(self, call: Callable[..., object], *args: object) -> None:
        """Runs a call in the loop, after everything that was scheduled there before."""
        done: Future[None] = Future()

        def run() -> None:
            call(*args)
            done.set_result(None)

        self.loop.call_soon_threadsafe(run)
        done.result(LIMIT_S)

    def hears(self, *messages: object) -> None:
        self.in_loop(self.conversation.heard, messages)

    def said(self) -> list[object]:
        self.in_loop(lambda: None)
        return [from_client_decoder.decode(frames[0]) for frames in self.sent]


@contextmanager
def a_line() -> Iterator[Line]:
    line = Line()
    try:
        yield line
    finally:
        line.loop.call_soon_threadsafe(line.loop.stop)
        line.thread.join(LIMIT_S)
        line.loop.close()


def test_a_request_is_sent_by_who_makes_it_and_answered_once() -> None:
    with a_line() as line:
        asked = line.conversation.ask(OpenSession)
        assert line.said() == [OpenSession(1)]
        assert line.threads == [threading.get_ident()]
        line.hears(SessionOpened(1, 7), SessionOpened(1, 8))
        assert asked.result(LIMIT_S) == SessionOpened(1, 7)


def test_what_cannot_leave_at_once_leaves_by_the_loop_in_order() -> None:
    with a_line() as line:
        line.is_free = False
        line.conversation.ask(OpenSession)
        line.conversation.ask(lambda number: Wait(number, 3, all_tasks=True))
        line.in_loop(lambda: None)
        assert set(line.threads) == {line.thread.ident}
        said = [from_client_decoder.decode(frame) for frames in line.sent for frame in frames]
        assert said == [OpenSession(1), Wait(2, 3, all_tasks=True)]


def test_what_nobody_waits_for_leaves_with_the_next_message_or_soon() -> None:
    with a_line() as line:
        line.conversation.tell([b"one"])
        line.conversation.tell([b"two"])
        assert line.sent == []
        line.conversation.ask(OpenSession)
        [together] = line.sent
        assert together[:2] == [b"one", b"two"]
        assert from_client_decoder.decode(together[2]) == OpenSession(1)
        line.conversation.tell([b"alone"])
        deadline = time.monotonic() + LIMIT_S
        while len(line.sent) < 2:
            assert time.monotonic() < deadline, "what was told never left"
            line.in_loop(lambda: None)
        assert line.sent[1] == [b"alone"]
        assert line.threads[1] == line.thread.ident


def test_large_messages_leave_alone_and_few_frames_at_once() -> None:
    with a_line() as line:
        large = bytes(MAX_TOGETHER_BYTES + 1)
        for message in ([b"header", large], *[[b"small"]] * (MAX_TOGETHER + 1)):
            line.conversation.tell(message)
        line.in_loop(line.conversation.start)
        assert line.sent == [[b"header", large], [b"small"] * MAX_TOGETHER, [b"small"]]


def test_a_request_that_is_given_up_is_taken_back() -> None:
    with a_line() as line:
        asked = line.conversation.ask(lambda number: Wait(number, 3, all_tasks=True))
        asked.cancel()
        assert line.said() == [Wait(1, 3, all_tasks=True), Unwait(1)]
        line.hears(WaitDone(1))
        assert asked.cancelled()


def test_a_submit_goes_when_the_window_is_open_and_nobody_gave_it_up() -> None:
    with a_line() as line:
        line.conversation.ask(OpenSession)
        line.hears(SessionOpened(1, 3))
        ticket = Ticket()
        assert line.conversation.submit(3, 1, 10, [[b"one"], [b"two"]], ticket).result(LIMIT_S) is None
        assert line.sent[1:] == [[b"one", b"two"]]
        assert not ticket.take()
        given_up = Ticket()
        given_up.take()
        line.conversation.submit(3, 1, 10, [[b"three"]], given_up).result(LIMIT_S)
        assert line.sent[2:] == []


def test_a_request_may_follow_from_the_outcome_of_another() -> None:
    with a_line() as line:
        both = line.conversation.ask_on(
            OpenSession,
            lambda opened: line.conversation.ask(lambda number: CloseSession(number, opened.session)),
        )
        line.hears(SessionOpened(1, 3))
        assert line.said()[1:] == [CloseSession(2, 3)]
        line.hears(Ack(2))
        assert both.result(LIMIT_S) == (SessionOpened(1, 3), Ack(2))
        alone = line.conversation.ask_on(OpenSession, lambda opened: None)
        line.hears(SessionOpened(3, 4))
        assert alone.result(LIMIT_S) == (SessionOpened(3, 4), None)


def test_giving_up_a_pair_of_requests_gives_up_the_one_that_is_under_way() -> None:
    with a_line() as line:
        both = line.conversation.ask_on(lambda number: Wait(number, 3), lambda done: None)
        both.cancel()
        assert line.said() == [Wait(1, 3), Unwait(1)]


def test_a_failed_session_is_marked_before_those_who_wait_wake() -> None:
    with a_line() as line:
        line.conversation.ask(OpenSession)
        line.hears(SessionOpened(1, 3))
        marked_first: list[bool] = []
        waiting = line.conversation.ask(lambda number: Wait(number, 3, all_tasks=True))
        waiting.add_done_callback(lambda _: marked_first.append(bool(line.news)))
        line.hears(SessionFailed(3, "boom"))
        assert isinstance(waiting.result(LIMIT_S), Trouble)
        assert marked_first == [True]
        assert isinstance(line.news[0], MarkSessionFailed)


@pytest.mark.parametrize("when", ["before", "after"])
def test_nobody_waits_for_ever_when_the_loop_has_ended(when: str) -> None:
    with a_line() as line:
        early = line.conversation.ask(OpenSession) if when == "before" else None
        line.in_loop(line.conversation.end)
        asked = early or line.conversation.ask(OpenSession)
        assert asked.cancelled()


def test_many_threads_ask_at_once_and_each_gets_its_own_answer() -> None:
    with a_line() as line:
        asked: dict[int, Future[object]] = {}
        lock = threading.Lock()

        def ask() -> None:
            for _ in range(50):
                made: list[OpenSession] = []

                def make(number: int, made: list[OpenSession] = made) -> OpenSession:
                    made.append(OpenSession(number))
                    return made[0]

                future = line.conversation.ask(make)
                with lock:
                    asked[made[0].request] = future

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
        assert sorted(message.request for message in line.said()) == list(range(1, 201))
        line.hears(*[SessionOpened(number, 1000 + number) for number in asked])
        assert {number: future.result(LIMIT_S).session for number, future in asked.items()} == {
            number: 1000 + number for number in range(1, 201)
        }


def test_what_a_garbage_collection_tells_while_others_send_leaves_too() -> None:
    with a_line() as line:

        class Collected(bytes):
            """Its size is asked for while messages are gathered, a moment at which a collection may run."""

            def __len__(self) -> int:
                if not line.told:
                    line.told = True
                    line.conversation.tell([b"late"])
                return super().__len__()

        line.conversation.tell([Collected(b"early")])
        line.conversation.tell([b"next"])
        line.in_loop(line.conversation.start)
        assert [frame for frames in line.sent for frame in frames] == [b"early", b"next", b"late"]
