"""What cannot be is refused in the caller's stack, in words, with nothing changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rain.client import Input, Output, RainException, Session, blob, remote, tasks
from rain.client.pending import Pending, check_timeout

LONE_SURROGATE = "data-\udcff"


@remote()
def echo(ctx: Any, value: Any = None) -> bytes:
    return b""


@pytest.fixture
def session() -> Iterator[Session]:
    offline = Session(None, 1)
    with offline.bind_only():
        yield offline


@pytest.mark.parametrize("told", [3, "s1", [], object(), True])
@pytest.mark.parametrize(
    "make",
    [
        lambda told: tasks.concat(session=told),
        lambda told: tasks.execute("true", session=told),
        lambda told: echo(session=told),
        lambda told: remote(session=told)(lambda ctx: b"")(),
        lambda told: blob("x", session=told),
    ],
    ids=["built-in", "program", "call", "function", "blob"],
)
def test_only_a_session_is_taken_as_one(session: Session, make: Callable[[Any], Any], told: Any) -> None:
    with pytest.raises(RainException, match="session: expected a Session or None, found"):
        make(told)
    assert (session.task_count, session.dataobj_count) == (0, 0)


@pytest.mark.parametrize("outputs", [1.5, object(), b"", {}, {"a": 1}])
def test_outputs_that_are_none_are_refused_at_the_declaration_and_at_the_call(session: Session, outputs: Any) -> None:
    with pytest.raises(RainException, match="outputs: expected"):
        remote(outputs=outputs)(lambda ctx: b"")
    with pytest.raises(RainException, match="outputs at a call: expected"):
        echo(outputs=outputs)
    assert session.task_count == 0


@pytest.mark.parametrize("output", [0, 2, [], ["a", "b"]])
def test_a_loaded_file_is_one_object(session: Session, output: Any) -> None:
    with pytest.raises(RainException, match="the only output"):
        tasks.open("data", output)
    assert session.task_count == 0


@pytest.mark.parametrize("client", [3, "localhost", []])
def test_a_session_is_made_of_a_client_or_of_none(client: Any) -> None:
    with pytest.raises(RainException, match=r"expected a client or None, found .*`client.new_session\(\)` opens"):
        Session(client, 3)


@pytest.mark.parametrize("wrong", [1, "yes", []])
def test_what_inputs_are_told_is_true_or_false(wrong: Any) -> None:
    with pytest.raises(RainException, match=r"Input\(load=…\): expected True, False or None, found"):
        Input("a", load=wrong)
    with pytest.raises(RainException, match=r"Input\(write=…\): expected True or False, found"):
        Input("a", write=wrong)


@pytest.mark.parametrize("wrong", [-1, 1.5, "1 MiB", True])
def test_a_size_hint_is_a_number_of_bytes(wrong: Any) -> None:
    with pytest.raises(RainException, match=r"Output\(size_hint=…\): expected a number of bytes or None, found"):
        Output("a", size_hint=wrong)
    assert (Output("a", size_hint=0).size_hint, Output("a").size_hint) == (0, None)


@pytest.mark.parametrize("gpus", [[], "", {}])
def test_what_is_empty_is_no_number_of_gpus(session: Session, gpus: Any) -> None:
    with pytest.raises(RainException, match="gpus: expected a number"):
        tasks.concat(gpus=gpus)


@pytest.mark.parametrize("timeout", ["1", [1], b"", math.nan, True, object()])
def test_a_time_limit_is_a_number_of_seconds(timeout: Any) -> None:
    with pytest.raises(RainException, match="timeout: expected seconds or None, found"):
        check_timeout(timeout)
    with pytest.raises(RainException, match="timeout: expected seconds or None, found"):
        Pending(None, lambda outcome: outcome).result(timeout)


@pytest.mark.parametrize("timeout", [None, 0, 1.5, -0.1, math.inf])
def test_a_time_limit_may_be_over_already_or_never_come(timeout: float | None) -> None:
    assert Pending(None, lambda outcome: "done").result(timeout) == "done"


def test_text_that_is_no_unicode_is_named(session: Session) -> None:
    with pytest.raises(RainException, match="the text cannot be encoded as 'text'"):
        blob(LONE_SURROGATE)
    for make in (tasks.open, tasks.execute):
        with pytest.raises(RainException, match=r"'[^']*data-\\udcff' is no Unicode text"):
            make(LONE_SURROGATE)
    assert (session.task_count, session.dataobj_count) == (0, 0)


def test_a_nul_is_refused_where_a_program_could_not_get_it(session: Session) -> None:
    with pytest.raises(RainException, match="args: a word of a program cannot have a NUL in it"):
        tasks.execute(["echo", "a\0b"])
    with pytest.raises(RainException, match="env: expected names and values as texts without NUL"):
        tasks.execute("env", env={"A": "a\0b"})
    assert session.task_count == 0


@pytest.mark.parametrize(("path", "complaint"), [("./.", "working folder itself"), ("a/" + "ü" * 128, "found 256 in")])
def test_what_no_file_of_a_program_can_be_called_is_refused(session: Session, path: str, complaint: str) -> None:
    with pytest.raises(RainException, match=complaint):
        tasks.execute("true", output_paths=[path])
    with pytest.raises(RainException, match=complaint):
        tasks.execute("true", input_paths=[Input(path=path, dataobj=blob(""))])
    assert session.task_count == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: tasks.concat(name=LONE_SURROGATE),
        lambda: tasks.execute("true", stdout=LONE_SURROGATE),
        lambda: tasks.execute("true", output_paths=[LONE_SURROGATE]),
        lambda: Output("a", path=LONE_SURROGATE),
        lambda: echo(output=LONE_SURROGATE),
        lambda: remote(outputs=[LONE_SURROGATE])(lambda ctx: b""),
    ],
    ids=["name", "stdout", "output_paths", "path", "output", "outputs"],
)
def test_names_that_are_no_unicode_are_refused_before_they_are_in_the_graph(
    session: Session, make: Callable[[], Any]
) -> None:
    with pytest.raises(RainException, match="is no Unicode text"):
        make()
    assert session.task_count == 0
