"""How a failure reads."""

from __future__ import annotations

from rain.client.failures import exception_from
from rain.client.machine.effects import Trouble
from rain.core.failure import Cause, Failure


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
