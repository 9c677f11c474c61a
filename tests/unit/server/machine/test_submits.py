"""Submits that are wrong: in meaning (the session fails, nothing else changes) or in form (the client is dropped)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rain.core.ids import NONE
from rain.protocol.client import ClientAlive, OpenSession, SessionFailed, Submit, Upload
from rain.protocol.columns import pack
from rain.server.machine.events import ClientJoined
from tests.unit.server.machine.bench import Bench, spec


def good(bench: Bench) -> Submit:
    """Two tasks of two outputs, the second reads the first and a constant; one kept object."""
    constant = bench.constant(3)
    first = bench.task(spec=spec(2))
    bench.task(first.out, constant, spec=spec(2), keep=True)
    return bench.part(last=True)


BAD_IN_MEANING: dict[str, dict[str, Any]] = {
    "a gap in the tasks": {"first_task": 1},
    "a gap in the objects": {"first_object": 1},
    "a gap in the specs": {"first_spec": 1},
    "a spec that is not there": {"spec": pack("I", [0, 1])},
    "an input that is not there": {"inputs": pack("I", [99, 0])},
    "an input that is the task's own output": {"inputs": pack("I", [3, 0])},
    "an input that a later task makes": {"inputs": pack("I", [4, 0])},
    "outputs that overlap": {"first_output": pack("I", [1, 2])},
    "an output that is a constant": {"first_output": pack("I", [0, 3])},
    "outputs beyond the objects": {"first_output": pack("I", [1, 4])},
    "outputs far away": {"first_output": pack("I", [1, NONE - 1])},
    "more objects than are made": {"n_objects": 6},
    "fewer objects than are made": {"n_objects": 4},
    "very many objects that nobody makes": {"n_objects": 4_000_000_000},
    "a kept object that is not there": {"kept": pack("I", [5])},
    "a constant that is sent twice": {
        "constants": pack("I", [0, 0]),
        "constant_size": pack("Q", [3, 0]),
        "constant_inline": pack("B", [1, 1]),
        "constant_type": pack("H", [0, 0]),
    },
    "a constant that was not uploaded": {"constant_inline": pack("B", [0]), "constant_data": pack("B", [])},
}


@pytest.mark.parametrize("change", BAD_IN_MEANING.values(), ids=BAD_IN_MEANING.keys())
def test_a_submit_that_is_wrong_in_meaning_fails_its_session_and_changes_nothing(change: dict[str, Any]) -> None:
    bench = Bench()
    bench.worker_joins()
    bench.client_says(msgspec.structs.replace(good(bench), **change))
    message = bench.answer(SessionFailed)
    assert isinstance(message, SessionFailed)
    assert message.task is None
    assert message.reason
    bench.expect("s1 failed")
    assert len(bench.session.tasks) == len(bench.session.objects) == len(bench.session.specs) == 0
    request = bench.waits(everything=True)
    bench.expect(f"request {request} failed")
    bench.client_says(ClientAlive(), OpenSession(9))
    bench.expect("request 9 opened s2")


def test_the_same_submit_unchanged_is_good() -> None:
    bench = Bench()
    bench.worker_joins()
    bench.client_says(good(bench))
    bench.expect("w1 computes t0")


BAD_IN_FORM: dict[str, dict[str, Any]] = {
    "spec too short": {"spec": pack("I", [0])},
    "spec cut": {"spec": memoryview(b"\0" * 7)},
    "first_output too long": {"first_output": pack("I", [1, 3, 5])},
    "n_inputs too short": {"n_inputs": pack("I", [0])},
    "n_inputs more than inputs": {"n_inputs": pack("I", [0, 3])},
    "n_inputs very many": {"n_inputs": pack("I", [NONE, NONE])},
    "inputs cut": {"inputs": memoryview(b"\0" * 6)},
    "args_size too short": {"args_size": pack("I", [0])},
    "args_size more than args": {"args_size": pack("I", [0, 1])},
    "args without owner": {"args": memoryview(b"x")},
    "constants without sizes": {"constant_size": pack("Q", [])},
    "constants without inline": {"constant_inline": pack("B", [])},
    "inline neither 0 nor 1": {"constant_inline": pack("B", [2])},
    "constants without types": {"constant_type": pack("H", [])},
    "a type that is not there": {"constant_type": pack("H", [1])},
    "more bytes of constants than sizes": {"constant_data": memoryview(b"1234")},
    "fewer bytes of constants than sizes": {"constant_data": memoryview(b"12")},
    "kept cut": {"kept": memoryview(b"\0")},
    "a negative number of tasks": {"n_tasks": -1},
    "a number of tasks that no part has": {"n_tasks": 1 << 40},
    "a negative number of objects": {"n_objects": -5},
    "a negative first task": {"first_task": -1},
    "numbers beyond 32 bits": {"first_object": 1 << 32},
}


@pytest.mark.parametrize("change", BAD_IN_FORM.values(), ids=BAD_IN_FORM.keys())
def test_a_submit_that_is_wrong_in_form_drops_its_client_and_nobody_else(change: dict[str, Any]) -> None:
    bench = Bench()
    bench.happens(ClientJoined(2))
    bench.client_says(OpenSession(5), client=2)
    bench.ignore()
    bench.client_says(msgspec.structs.replace(good(bench), **change))
    bench.expect("client 1 is dropped", "stash closes s1")
    bench.client_says(OpenSession(6), client=2)
    bench.expect("request 6 opened s3")
    bench.client_says(OpenSession(7), client=1)
    bench.expect_nothing()


def test_parts_are_committed_with_the_last_one() -> None:
    bench = Bench()
    bench.worker_joins(cpus=2)
    constant = bench.constant()
    first = bench.task(keep=True)
    bench.client_says(bench.part())
    bench.expect_nothing()
    assert len(bench.session.tasks) == 0
    bench.task(first.out, constant)
    bench.submit()
    bench.expect("w1 computes t0")


def test_a_bad_last_part_undoes_the_good_ones_before_it() -> None:
    bench = Bench()
    bench.worker_joins()
    bench.task()
    bench.client_says(bench.part())
    bench.task(99)
    bench.submit()
    bench.expect("s1 failed")
    assert len(bench.session.tasks) == 0


def test_a_constant_that_was_uploaded_is_accepted() -> None:
    bench = Bench()
    bench.worker_joins()
    large = bench.constant(1 << 20, inline=False)
    bench.task(large)
    bench.client_says(Upload(1, large, 0, 1 << 20), bench.part(last=True))
    bench.expect("w1 computes t0")


def test_an_input_that_is_gone_is_named_with_what_to_do() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    gone = bench.task(spec=spec(name="align"))
    bench.submit()
    bench.finishes(worker, gone.task)
    bench.ignore()
    bench.task(gone.out)
    bench.submit()
    message = bench.answer(SessionFailed)
    assert isinstance(message, SessionFailed)
    assert "output of 'align', was not kept, so it is gone. Call `.keep()`" in message.reason


def test_a_submit_to_a_session_of_another_client_is_ignored() -> None:
    bench = Bench()
    bench.happens(ClientJoined(2))
    bench.task()
    bench.client_says(bench.part(last=True), client=2)
    bench.expect_nothing()
