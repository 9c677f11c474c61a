"""Exceptions as failures and back."""

from __future__ import annotations

import pytest

from rain.core.failure import Cause, Failure
from rain.data.exceptions import exception_of, failure_of


def caught(function) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def test_message_type_traceback_and_the_exception_itself_survive():
    def fail():
        raise KeyError("missing")

    failure = failure_of(caught(fail), stderr="said", debug="noted")
    assert (failure.cause, failure.message, failure.exception_type) == (Cause.TASK, "KeyError: 'missing'", "KeyError")
    assert (failure.stderr, failure.debug) == ("said", "noted")
    assert 'raise KeyError("missing")' in failure.traceback
    error = exception_of(failure)
    assert isinstance(error, KeyError)
    assert error.args == ("missing",)
    with pytest.raises(KeyError):
        raise error


def test_causes_notes_and_contexts_survive():
    def fail():
        try:
            raise ValueError("first")
        except ValueError as first:
            error = RuntimeError("second")
            error.add_note("a note")
            raise error from first

    failure = failure_of(caught(fail))
    assert "direct cause" in failure.traceback
    error = exception_of(failure)
    assert str(error.__cause__) == "first"
    assert error.__notes__ == ["a note"]


def test_an_exception_with_a_constructor_of_its_own_arrives_as_it_was():
    class Picky(Exception):
        def __init__(self, a, b):
            super().__init__(f"{a} and {b}")
            self.a = a

    def fail():
        error = Picky(1, 2)
        error.add_note("a note")
        raise error

    error = exception_of(failure_of(caught(fail)))
    assert type(error) is Picky
    assert (str(error), error.a, error.__notes__) == ("1 and 2", 1, ["a note"])


def test_an_exception_that_says_how_it_is_pickled_is_asked():
    class Own(Exception):
        def __reduce__(self):
            return Own, ("made anew",)

    def fail():
        raise Own("first")

    assert exception_of(failure_of(caught(fail))).args == ("made anew",)


def test_an_exception_that_cannot_be_rebuilt_is_text():
    class Picky(OSError):
        def __init__(self, a, b, c):
            super().__init__(f"{a} and {b}")

    def fail():
        raise Picky(1, 2, 3)

    failure = failure_of(caught(fail))
    assert failure.message.endswith("Picky: 1 and 2")
    assert exception_of(failure) is None


def test_very_deep_recursion_is_cut():
    def deeper(n):
        return deeper(n + 1)

    failure = failure_of(caught(lambda: deeper(0)))
    assert failure.exception_type == "RecursionError"
    assert len(failure.traceback) < 100_000
    assert isinstance(exception_of(failure), RecursionError)


def test_very_large_exceptions_reach_the_user_as_cut_text():
    def fail():
        raise ValueError("x" * 10_000_000)

    failure = failure_of(caught(fail))
    assert failure.pickled is None
    assert len(failure.message) < 100_000
    assert "characters left out" in failure.message


def test_no_exception_is_rebuilt_from_rubbish():
    assert exception_of(Failure(cause=Cause.TASK, message="m", pickled=b"rubbish")) is None
    assert exception_of(Failure(cause=Cause.TASK, message="m")) is None
