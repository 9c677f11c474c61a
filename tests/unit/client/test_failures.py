"""How a failure reads."""

from __future__ import annotations

from rain.client.failures import exception_from
from rain.client.machine.effects import Trouble
from rain.client.records import TaskRecord
from rain.core.errors import TaskException
from rain.core.failure import Cause, Failure
from rain.core.note import TaskNote, TaskProgress
from rain.protocol.shown import AttemptInfo, TaskInfo


def text_of(message: str, stderr: str) -> str:
    failure = Failure(cause=Cause.TASK, message=message, stderr=stderr)
    trouble = Trouble(reason=message, task=2, worker=1, failure=failure)
    return str(exception_from(trouble, 1, name="look", made_at="main.py:3"))


def test_what_a_program_said_is_shown_once() -> None:
    assert text_of("program 'ls' exited with status 2: no such file", "no such file\n").splitlines() == [
        "task s1.t2 'look' failed on w1: program 'ls' exited with status 2: no such file",
        "made at main.py:3",
    ]


def test_standard_error_that_says_more_than_the_message_is_shown() -> None:
    assert text_of("program 'ls' exited with status 2: the end", "the start\nthe end\n").splitlines() == [
        "task s1.t2 'look' failed on w1: program 'ls' exited with status 2: the end",
        "made at main.py:3",
        "--- stderr:",
        "the start",
        "the end",
    ]


def test_an_exception_carries_what_the_attempt_said() -> None:
    failure = Failure(cause=Cause.TASK, message="no", stderr="end", debug="d")
    note = TaskNote(stdout="out", stderr="start\nend")
    info = TaskInfo("failed", 1, 2, None, None, None, note)
    raised = exception_from(Trouble(reason="no", task=2, attempt=2, worker=1, failure=failure, info=info), 1)
    assert isinstance(raised, TaskException)
    assert (raised.stdout, raised.stderr, raised.debug) == ("out", "start\nend", "d")
    assert (raised.worker, raised.attempt) == ("w1", 2)


def test_attempts_are_found_by_their_number_also_where_some_are_not_known() -> None:
    past = AttemptInfo(1, 4, "ValueError: no", 500_000, TaskNote(stdout="second", progress=TaskProgress(0.5)))
    record = TaskRecord(TaskInfo("finished", 5, 2, 10, 1.0, None, TaskNote(stdout="third"), (past,)))
    unknown, second, last = record.attempts
    assert (unknown.attempt, unknown.worker, unknown.stdout, unknown.duration) == (0, None, "", None)
    assert "nothing is known of it" in (unknown.error or "")
    assert (second.attempt, second.worker, second.stdout, second.duration) == (1, "w4", "second", 0.5)
    assert (second.error, second.progress) == ("ValueError: no", TaskProgress(0.5))
    assert (last.attempt, last.worker, last.stdout, last.error) == (2, "w5", "third", None)


def test_a_task_that_never_began_has_no_attempts() -> None:
    assert TaskRecord(TaskInfo("waiting", None, 0, None, None, None)).attempts == ()
