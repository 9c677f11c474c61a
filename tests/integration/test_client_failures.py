"""What users see when a task fails, a session fails, or is cancelled."""

from __future__ import annotations

import threading
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
    remote,
    tasks,
)

LIMIT_S = 20.0


@function
def divide(a: float, b: float) -> float:
    return a / b


@function
def identity(value: Any) -> Any:
    return value


def test_a_failed_task_raises_with_the_original_exception_and_where_it_was_made(session: Session) -> None:
    task = divide(1, 0)
    session.submit()
    with pytest.raises(TaskException) as caught:
        task.wait(timeout=LIMIT_S)
    error = caught.value
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert "return a / b" in error.remote_traceback
    assert "/rain/" not in error.remote_traceback
    assert error.task is task
    assert (error.task_id, error.task_name) == (task.id, "divide")
    assert error.worker in {"w1", "w2"}
    assert error.made_at is not None
    assert error.made_at.startswith(__file__ + ":")
    assert "ZeroDivisionError: division by zero" in str(error)
    assert task.state == "failed"


def test_the_first_failure_fails_the_session_and_is_raised_as_often_as_asked(session: Session) -> None:
    good = identity(1)
    good.output.keep()
    session.submit()
    session.wait_all(timeout=LIMIT_S)
    bad = divide(1, 0)
    bad.output.keep()
    session.submit()
    messages = set()
    calls = [
        lambda: session.wait_all(timeout=LIMIT_S),
        lambda: session.wait([good]),
        lambda: good.output.fetch(timeout=LIMIT_S),
        lambda: session.update([good]),
        lambda: session.unkeep([good]),
        session.submit,
    ]
    for call in calls:
        with pytest.raises(TaskException) as caught:
            call()
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert caught.value.task is bad
        messages.add(str(caught.value))
    assert len(messages) == 1
    assert session.state == "failed"
    assert not session.active
    assert session.fetch(good, failed_ok=True, timeout=LIMIT_S).load() == 1


def test_other_sessions_never_notice_a_failed_one(client: Client) -> None:
    with client.new_session() as failing, client.new_session() as other:
        divide(1, 0, session=failing)
        failing.submit()
        with pytest.raises(TaskException):
            failing.wait_all(timeout=LIMIT_S)
        assert other.compute(divide(4, 2), timeout=LIMIT_S).load() == 2.0


def test_without_fail_fast_only_what_depends_on_the_failed_task_fails(client: Client) -> None:
    with client.new_session(fail_fast=False) as session:
        bad = divide(1, 0)
        after = identity(bad)
        good = divide(6, 3)
        session.keep_all()
        session.submit()
        with pytest.raises(TaskException, match="division by zero"):
            session.wait_all(timeout=LIMIT_S)
        assert good.output.fetch(timeout=LIMIT_S).load() == 2.0
        with pytest.raises(TaskException):
            after.output.fetch(timeout=LIMIT_S)
        assert [bad.state, good.state, after.state] == ["failed", "finished", "failed"]
        assert session.state == "open"


def test_the_task_of_a_failure_is_found_as_long_as_somebody_holds_it(session: Session) -> None:
    divide(1, 0)
    session.submit()
    with pytest.raises(TaskException) as caught:
        session.wait_all(timeout=LIMIT_S)
    assert caught.value.task is None
    assert caught.value.task_name == "divide"


def test_an_exception_that_cannot_travel_arrives_as_text(session: Session) -> None:
    @remote
    def raise_strange(ctx: Any) -> None:
        class Strange(Exception):
            def __reduce__(self) -> Any:
                raise RuntimeError("never")

        raise Strange("odd")

    task = raise_strange()
    session.submit()
    with pytest.raises(TaskException, match="Strange: odd") as caught:
        task.wait(timeout=LIMIT_S)
    assert caught.value.__cause__ is None


def test_a_missing_program_and_a_missing_file_are_errors_of_their_tasks(client: Client) -> None:
    with client.new_session(fail_fast=False) as session:
        program = tasks.execute(["no-such-program-anywhere"])
        file = tasks.open("/no/such/file/anywhere")
        session.submit()
        with pytest.raises(TaskException, match="no-such-program-anywhere"):
            program.wait(timeout=LIMIT_S)
        with pytest.raises(TaskException, match="/no/such/file/anywhere"):
            file.wait(timeout=LIMIT_S)


def test_a_cancelled_task_raises_when_waited_for_and_does_not_fail_the_session(session: Session) -> None:
    slow = tasks.sleep(blob("x"), 600)
    after = tasks.concat(slow)
    quick = identity(5)
    quick.output.keep()
    session.submit()
    slow.cancel()
    session.wait_all(timeout=LIMIT_S)
    assert [slow.state, after.state, quick.state] == ["cancelled", "cancelled", "finished"]
    for task in (slow, after):
        with pytest.raises(TaskException, match="was cancelled"):
            task.wait(timeout=LIMIT_S)
    assert session.active
    assert quick.output.fetch(timeout=LIMIT_S).load() == 5


def test_what_was_not_kept_or_not_submitted_is_refused_at_once(session: Session) -> None:
    unkept, unsubmitted = identity(1), identity(2)
    with pytest.raises(
        RainException, match=r"not submitted, so it cannot be fetched: call `.keep\(\)` and `submit\(\)`"
    ):
        unsubmitted.output.fetch()
    with pytest.raises(RainException, match=r"not submitted, so it cannot be waited for: call `submit\(\)` first"):
        unsubmitted.wait()
    session.submit()
    with pytest.raises(RainException) as caught:
        unkept.output.fetch()
    assert str(caught.value) == (
        f"{unkept.output.id}, output of 'identity', was not kept, so it is gone. Call `.keep()` before `submit()`."
    )
    with pytest.raises(RainException, match=r"was submitted already: call `.keep\(\)` before `submit\(\)`"):
        unkept.output.keep()
    with pytest.raises(RainException, match="was not kept, so it is gone"):
        identity(unkept)
    session.wait_all(timeout=LIMIT_S)


def test_a_task_whose_making_was_refused_does_not_hide_how_another_one_failed(session: Session) -> None:
    with pytest.raises(RainException, match="cannot pickle") as refused:
        identity(threading.Lock())
    assert refused.tb is not None, "the traceback keeps the half-made task alive"
    tasks.execute("false", name="mine")
    session.submit()
    with pytest.raises(TaskException, match=r"t\d+ 'mine' failed"):
        session.wait_all(timeout=LIMIT_S)


def test_an_unkept_object_is_gone_at_the_workers(client: Client, session: Session) -> None:
    task = identity("x" * 10_000)
    task.output.keep()
    session.submit()
    task.wait(timeout=LIMIT_S)
    held = [obj for worker in client.get_server_info()["workers"] for obj in worker["objects"]]
    assert task.output.id in held
    task.output.unkeep()
    assert not task.output.is_kept()
    with pytest.raises(RainException, match="was not kept"):
        task.output.fetch()
    task.output.update()
    assert task.output.state == "removed"


def test_a_closed_session_says_so(client: Client) -> None:
    session = client.new_session("mine")
    session.close()
    session.close()
    for call in (session.submit, session.wait_all, session.__enter__):
        with pytest.raises(SessionException, match="is closed"):
            call()
    with pytest.raises(SessionException, match="is closed and cannot be added to"):
        identity(1, session=session)
