"""Waiting for an answer: time limits, interrupts, and an answer that arrives at the last moment."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future

import pytest

from rain.client.pacing import Ticket
from rain.client.pending import LOOK_UP_S, Pending
from rain.core.errors import SessionException


def test_the_outcome_is_finished_in_the_stack_of_who_waits() -> None:
    future: Future[int] = Future()
    future.set_result(4)
    threads: list[str] = []

    def finish(outcome: int) -> int:
        threads.append(threading.current_thread().name)
        return outcome + 1

    assert Pending(future, finish).result() == 5
    assert threads == [threading.current_thread().name]
    assert Pending(None, lambda outcome: outcome).result() is None


def test_an_outcome_wakes_at_once() -> None:
    future: Future[float] = Future()
    threading.Timer(0.05, lambda: future.set_result(time.monotonic())).start()
    sent = Pending(future, lambda outcome: outcome).result(5)
    assert time.monotonic() - sent < LOOK_UP_S / 2


def test_a_time_limit_gives_the_request_up() -> None:
    future: Future[int] = Future()
    with pytest.raises(TimeoutError, match=r"this did not finish within 0\.01 s; it goes on"):
        Pending(future, lambda outcome: outcome, "this").result(0.01)
    assert future.cancelled()


@pytest.mark.parametrize("n_trips", [1, 2, 3])
def test_who_has_no_time_gets_what_arrives_before_the_answer_of_a_round_trip(n_trips: int) -> None:
    future: Future[int] = Future()
    asked: list[Future[None]] = []

    def round_trip() -> Future[None]:
        asked.append(Future())
        asked[-1].set_result(None)
        if len(asked) == n_trips:
            future.set_result(7)
        return asked[-1]

    assert Pending(future, lambda outcome: outcome, round_trip=round_trip).result(0) == 7
    assert len(asked) == n_trips


def test_who_has_no_time_gives_up_when_round_trips_bring_nothing() -> None:
    future: Future[int] = Future()
    answered: Future[None] = Future()
    answered.set_result(None)
    with pytest.raises(TimeoutError, match="did not finish within 0 s"):
        Pending(future, lambda outcome: outcome, round_trip=lambda: answered).result(0)
    assert future.cancelled()


def test_a_request_that_was_cancelled_elsewhere_is_no_hang() -> None:
    future: Future[int] = Future()
    future.cancel()
    pending = Pending(future, lambda outcome: outcome)
    with pytest.raises(SessionException, match="the client was closed"):
        pending.result()

    async def wait() -> None:
        await pending

    with pytest.raises(SessionException, match="the client was closed"):
        asyncio.run(wait())


def test_a_ticket_is_taken_once() -> None:
    ticket = Ticket()
    assert [ticket.take() for _ in range(3)] == [True, False, False]
