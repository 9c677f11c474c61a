"""What the client's machine orders for what happens; every test ends with nothing left waiting."""

from __future__ import annotations

from rain.client.machine.effects import MarkSessionFailed, OpenWindow, Resolve, SendToServer, Trouble, trouble_of
from rain.client.machine.events import MessageHeard, Request, Requested, RequestGivenUp, ServerWentAway, SubmitBegan
from rain.client.machine.machine import ClientMachine
from rain.client.machine.window import MAX_UNFINISHED_BYTES, MAX_UNFINISHED_TASKS, SubmitWindow
from rain.core.failure import Cause, Failure
from rain.protocol.client import (
    Ack,
    AttachSession,
    CloseSession,
    Leave,
    Locate,
    OpenSession,
    Progress,
    RequestFailed,
    ServerAlive,
    SessionAttached,
    SessionFailed,
    SessionOpened,
    Unwait,
    Wait,
    WaitDone,
)
from rain.protocol.feed import FeedNews, WatchSession
from rain.protocol.queries import QueryServer

FAILURE = Failure(cause=Cause.TASK, message="ValueError: no")
SESSION = 3


def opened() -> ClientMachine:
    """A machine with one open session."""
    machine = ClientMachine()
    ask(machine, OpenSession(1))
    assert hear(machine, SessionOpened(1, SESSION)) == [Resolve(1, SessionOpened(1, SESSION))]
    return machine


def ask(machine: ClientMachine, request: Request) -> None:
    """A request that is sent."""
    assert machine.handle(Requested(request)) == [SendToServer(request)]


def hear(machine: ClientMachine, message: object) -> list:
    """What follows from a message."""
    return machine.handle(MessageHeard(message))


def nothing_waits(machine: ClientMachine) -> bool:
    """Whether a lost server would wake nobody."""
    return machine.handle(ServerWentAway("the test is over")) == []


def test_an_answer_wakes_who_asked_once() -> None:
    machine = opened()
    ask(machine, Wait(5, SESSION))
    assert hear(machine, WaitDone(5)) == [Resolve(5, WaitDone(5))]
    assert hear(machine, WaitDone(5)) == []
    assert hear(machine, ServerAlive()) == []
    assert nothing_waits(machine)


def test_a_failed_request_is_told_with_the_task() -> None:
    machine = opened()
    ask(machine, Locate(5, SESSION, memoryview(b"")))
    [resolve] = hear(machine, RequestFailed(5, "no", task=7, attempt=1, worker=2, failure=FAILURE))
    assert resolve == Resolve(5, Trouble(reason="no", task=7, attempt=1, worker=2, failure=FAILURE))
    assert nothing_waits(machine)


def test_a_wait_that_is_given_up_is_taken_back_at_the_server() -> None:
    machine = opened()
    ask(machine, Wait(5, SESSION))
    assert machine.handle(RequestGivenUp(5)) == [SendToServer(Unwait(5))]
    assert machine.handle(RequestGivenUp(5)) == []
    assert hear(machine, WaitDone(5)) == []
    ask(machine, QueryServer(6))
    assert machine.handle(RequestGivenUp(6)) == []
    assert nothing_waits(machine)


def test_a_failed_session_ends_its_waits_and_refuses_later_ones() -> None:
    machine = opened()
    ask(machine, Wait(5, SESSION))
    ask(machine, Locate(6, SESSION, memoryview(b"")))
    ask(machine, OpenSession(7))
    hear(machine, SessionOpened(7, 4))
    ask(machine, Wait(8, 4))
    trouble = Trouble(reason="failed", task=1, failure=FAILURE, session_failed=True)
    failed = SessionFailed(SESSION, "failed", task=1, failure=FAILURE)
    assert hear(machine, failed) == [MarkSessionFailed(SESSION, trouble), Resolve(5, trouble)]
    assert hear(machine, failed) == []
    assert machine.handle(Requested(Wait(9, SESSION))) == [Resolve(9, trouble)]
    assert machine.handle(SubmitBegan(10, SESSION, 1, 1)) == [Resolve(10, trouble)]
    # What was finished before can still be had, and the other session never notices.
    ask(machine, Locate(11, SESSION, memoryview(b"")))
    for request in (6, 11):
        assert hear(machine, RequestFailed(request, "gone")) == [Resolve(request, Trouble(reason="gone"))]
    assert hear(machine, WaitDone(8)) == [Resolve(8, WaitDone(8))]
    assert nothing_waits(machine)


def test_closing_a_session_ends_everything_of_it() -> None:
    machine = opened()
    ask(machine, Wait(5, SESSION))
    ask(machine, Locate(6, SESSION, memoryview(b"")))
    closing, *ended = machine.handle(Requested(CloseSession(7, SESSION)))
    assert closing == SendToServer(CloseSession(7, SESSION))
    assert [effect.request for effect in ended] == [5, 6]
    assert all(effect.outcome.session_failed for effect in ended)
    assert hear(machine, Progress(SESSION, 1, 0)) == []
    assert hear(machine, SessionFailed(SESSION, "late")) == []
    assert [effect.request for effect in machine.handle(SubmitBegan(8, SESSION, 1, 1))] == [8]
    assert hear(machine, Ack(7)) == [Resolve(7, Ack(7))]
    assert nothing_waits(machine)


def test_a_lost_server_wakes_everybody_and_answers_later_requests_itself() -> None:
    machine = opened()
    ask(machine, Wait(5, SESSION))
    machine.handle(SubmitBegan(6, SESSION, MAX_UNFINISHED_TASKS + 1, 0))
    machine.handle(SubmitBegan(7, SESSION, 1, 0))
    trouble = Trouble(reason="gone", server_gone=True)
    assert machine.handle(ServerWentAway("gone")) == [Resolve(5, trouble), Resolve(7, trouble)]
    assert machine.handle(ServerWentAway("again")) == []
    assert machine.handle(Requested(QueryServer(8))) == [Resolve(8, trouble)]
    assert machine.handle(SubmitBegan(9, SESSION, 1, 1)) == [Resolve(9, trouble)]


def test_submits_wait_in_order_while_too_many_tasks_are_unfinished() -> None:
    machine = opened()
    assert machine.handle(SubmitBegan(5, SESSION, MAX_UNFINISHED_TASKS + 10, 0)) == [OpenWindow(5)]
    assert machine.handle(SubmitBegan(6, SESSION, 1, 0), SubmitBegan(7, SESSION, 1, 0)) == []
    assert hear(machine, Progress(SESSION, 9, MAX_UNFINISHED_TASKS + 1)) == []
    assert machine.handle(RequestGivenUp(6)) == []
    assert hear(machine, Progress(SESSION, 10, MAX_UNFINISHED_TASKS)) == [OpenWindow(7)]
    assert nothing_waits(machine)


def test_the_window_counts_bytes_until_their_submit_is_done() -> None:
    window = SubmitWindow()
    window.sent(10, MAX_UNFINISHED_BYTES)
    assert window.is_open
    window.sent(10, 1)
    assert not window.is_open
    window.done(9)
    assert not window.is_open
    window.done(10)
    assert window.is_open
    # Late news of less, and a server that counts more than was sent, change nothing.
    window.done(3)
    window.done(100)
    assert window.is_open


def test_who_waits_is_woken_when_the_client_leaves_and_nothing_can_be_asked_after() -> None:
    machine = opened()
    ask(machine, Wait(5, SESSION))
    left = Trouble(reason="the client was closed: make a new one with `Client(…)`", server_gone=True)
    assert machine.handle(Requested(Leave(6))) == [Resolve(5, left), SendToServer(Leave(6))]
    assert machine.handle(Requested(QueryServer(7))) == [Resolve(7, left)]
    assert hear(machine, Ack(6)) == [Resolve(6, Ack(6))]
    assert nothing_waits(machine)


def test_a_server_that_is_lost_while_the_client_leaves_wakes_it() -> None:
    machine = opened()
    ask(machine, Leave(6))
    left = Trouble(reason="the client was closed: make a new one with `Client(…)`", server_gone=True)
    assert machine.handle(ServerWentAway("it ended")) == [Resolve(6, left)]


def test_a_session_of_its_own_that_is_attached_keeps_its_window() -> None:
    machine = opened()
    assert machine.handle(SubmitBegan(2, SESSION, MAX_UNFINISHED_TASKS + 1, 0)) == [OpenWindow(2)]
    ask(machine, AttachSession(3, "mine"))
    attached = SessionAttached(
        request=3, session=SESSION, name="mine", fail_fast=True, n_specs=0, n_tasks=0, n_objects=0, done=0
    )
    assert hear(machine, attached) == [Resolve(3, attached)]
    assert machine.handle(SubmitBegan(4, SESSION, 1, 0)) == []
    assert machine.handle(RequestGivenUp(4)) == []
    assert nothing_waits(machine)


def test_an_attached_session_goes_on_with_the_window_of_the_client_before() -> None:
    machine = ClientMachine()
    ask(machine, AttachSession(1, "long"))
    n_tasks = MAX_UNFINISHED_TASKS + 10
    attached = SessionAttached(
        request=1,
        session=SESSION,
        name="long",
        fail_fast=True,
        n_specs=1,
        n_tasks=n_tasks,
        n_objects=0,
        done=5,
    )
    assert hear(machine, attached) == [Resolve(1, attached)]
    assert machine.handle(SubmitBegan(2, SESSION, 1, 0)) == []
    assert hear(machine, Progress(SESSION, 10, n_tasks - 10)) == [OpenWindow(2)]
    assert nothing_waits(machine)


def test_a_failed_session_that_is_attached_refuses_to_be_waited_for() -> None:
    machine = ClientMachine()
    ask(machine, AttachSession(1, "long"))
    failed = SessionFailed(SESSION, "boom", 0, 0, 1, FAILURE)
    attached = SessionAttached(
        request=1, session=SESSION, name="x", fail_fast=True, n_specs=0, n_tasks=0, n_objects=0, done=1, failed=failed
    )
    hear(machine, attached)
    assert machine.handle(Requested(Wait(2, SESSION))) == [Resolve(2, trouble_of(failed))]
    assert nothing_waits(machine)


def test_a_watch_outlives_the_failure_of_its_session_and_ends_with_it() -> None:
    machine = opened()
    ask(machine, WatchSession(5, SESSION))
    failed = SessionFailed(SESSION, "ValueError: no", task=1, failure=FAILURE)
    assert hear(machine, failed) == [MarkSessionFailed(SESSION, trouble_of(failed))]
    news = FeedNews(request=5, elapsed_s=1.0, is_at_rest=True)
    assert hear(machine, news) == [Resolve(5, news)]
    ask(machine, WatchSession(6, SESSION, after=5))
    [sent, closed] = machine.handle(Requested(CloseSession(7, SESSION)))
    assert sent == SendToServer(CloseSession(7, SESSION))
    assert isinstance(closed, Resolve)
    assert closed.request == 6
    assert hear(machine, Ack(7)) == [Resolve(7, Ack(7))]
    assert nothing_waits(machine)


def test_a_watch_that_is_given_up_is_taken_back() -> None:
    machine = opened()
    ask(machine, WatchSession(5, SESSION))
    assert machine.handle(RequestGivenUp(5)) == [SendToServer(Unwait(5))]
    assert nothing_waits(machine)
