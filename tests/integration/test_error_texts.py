"""What the errors of clients and sessions say: what was expected, what was found, and what to do."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from rain.client import (
    Client,
    RainException,
    Session,
    SessionException,
    TaskException,
    blob,
    function,
    get_active_session,
    tasks,
)
from rain.deploy.local import LocalCluster

LIMIT_S = 20.0


@function
def double(number: int) -> int:
    return 2 * number


@function
def fail() -> None:
    raise ValueError("as told")


def told(error: type[RainException], text: str, call: Callable[[], Any]) -> None:
    """The call raises exactly this class, with this text; `#` stands for a number."""
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    pattern = re.escape(text).replace(r"\#", r"\d+")
    assert re.search(pattern, str(caught.value)), f"expected {text!r}, found {str(caught.value)!r}"


def test_what_was_not_submitted_or_not_kept(session: Session) -> None:
    task = double(1)
    output = task.output
    told(RainException, "s#.t0 'double' is not submitted, so it cannot be waited for: call `submit()` first", task.wait)
    told(RainException, "so it cannot be cancelled: call `submit()` first", task.cancel)
    told(RainException, "so it cannot be updated: call `submit()` first", task.update)
    told(RainException, "so it cannot be fetched: call `.keep()` and `submit()` first", output.fetch)
    session.submit()
    session.wait_all(timeout=LIMIT_S)
    gone = "s#.o0, output of 'double', was not kept, so it is gone. Call `.keep()` before `submit()`."
    told(RainException, gone, output.fetch)
    told(RainException, gone, lambda: double(task))
    told(
        RainException, "was submitted already: call `.keep()` before `submit()`, so that it is not dropped", output.keep
    )


def test_sessions_that_are_closed_foreign_or_missing(client: Client) -> None:
    told(RainException, "there is no active session: write `with client.new_session() as session:`", get_active_session)
    with client.new_session() as session, client.new_session() as other:
        mine = blob("x", session=session)
        text = (
            "belongs to another session, and data do not pass between sessions: fetch it there and make it a constant"
        )
        told(RainException, text, lambda: tasks.concat(mine, session=other))
        other.submit()
        told(RainException, "belongs to session s#, not to s#: call it there", lambda: other.wait(mine))
    closed = "session s# is closed and cannot be {}: open another one with `client.new_session()`"
    told(SessionException, closed.format("entered"), session.__enter__)
    told(SessionException, closed.format("submitted"), session.submit)
    told(SessionException, closed.format("waited for"), session.wait_all)
    told(SessionException, closed.format("added to"), lambda: double(1, session=session))
    told(SessionException, closed.format("made the default"), session.set_as_default)
    offline = Session(None, 1)
    double(1, session=offline)
    told(RainException, "session s1 has no server, graphs can only be built in it: make one with", offline.submit)


@pytest.mark.filterwarnings("ignore:session s")
def test_a_session_or_client_that_is_closed_while_somebody_waits(cluster: LocalCluster) -> None:
    client = Client(access=cluster.access_path)
    for close, text in (
        (None, "session s# was closed: open another one with `client.new_session()`"),
        (client.close, "the client was closed: make a new one with `Client(…)`"),
    ):
        session = client.new_session()
        slow = tasks.sleep(blob("x", session=session), 600, session=session)
        session.submit()
        timer = threading.Timer(0.1, close or session.close)
        timer.start()
        told(SessionException, text, slow.wait)
        timer.join()
    told(SessionException, "the client was closed: make a new one with `Client(…)`", client.new_session)


def test_a_failed_task_says_all_that_is_known_of_it(client: Client) -> None:
    with client.new_session(fail_fast=False) as session:
        failed, slow = fail(), tasks.sleep(blob("x"), 600, name="slow")
        session.submit()
        for _ in range(2):
            told(TaskException, "task s#.t0 'fail' failed on w#: ValueError: as told", failed.wait)
        told(TaskException, 'in fail\n    raise ValueError("as told")', failed.wait)
        told(TaskException, f"made at {__file__}:", failed.wait)
        slow.cancel()
        told(TaskException, "task s#.t1 'slow' was cancelled", slow.wait)
        told(TaskException, "task s#.t0 'fail' failed on w#", lambda: session.wait_all(timeout=LIMIT_S))


def test_tasks_and_sessions_that_are_not_found(client: Client) -> None:
    with client.new_session("texts") as session:
        with pytest.raises(KeyError, match="no task is called 'x' in <Session s"):
            session.tasks["x"]
        told(RainException, "tasks are found by their names, found 3", lambda: session.tasks[3])  # type: ignore[index]
        told(RainException, "There is no session 'none'; there are: ", lambda: client.attach("none"))
        told(RainException, "outlives its client only where it was opened with a ttl", lambda: client.attach("none"))
