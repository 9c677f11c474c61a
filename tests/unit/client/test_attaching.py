"""Reading a session in pieces, from a server's machine that gives little at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rain.client.attaching import attach
from rain.client.machine.effects import Trouble
from rain.core.errors import ProtocolViolation
from rain.protocol.attaching import GraphRead
from rain.protocol.client import RequestFailed, SessionAttached
from rain.protocol.columns import EMPTY
from rain.server.machine import attach as served
from tests.unit.server.machine.bench import Bench, spec


def asking(bench: Bench) -> Any:
    """The function by which a client asks, of the machine itself."""

    async def ask(make: Any) -> Any:
        bench.ignore()
        request = make(7)
        bench.client_says(request)
        [answer] = [each.message for each in bench.effects if getattr(each, "client", None) == 1]
        return Trouble(reason=answer.reason) if isinstance(answer, RequestFailed) else answer

    return ask


@pytest.mark.parametrize("max_rows", [1, 2, 1000])
def test_a_session_is_read_completely_however_little_fits_into_a_message(
    monkeypatch: pytest.MonkeyPatch, max_rows: int
) -> None:
    monkeypatch.setattr(served, "MAX_ROWS", max_rows)
    monkeypatch.setattr(served, "MAX_BYTES", 1)
    bench = Bench()
    bench.constant(keep=True)
    for name in "abcb":
        bench.task(spec=spec(2, name=name), keep=name == "c")
    bench.submit()
    found = asyncio.run(attach(asking(bench), "s1", lambda number: False))
    assert not isinstance(found, Trouble)
    attached, graph = found
    assert attached.session == 1
    assert graph is not None
    assert [each.name for each in graph.specs] == ["a", "b", "c"]
    assert list(graph.spec) == [0, 1, 2, 1]
    assert list(graph.flags) == [3, 0, 0, 0, 0, 1, 1, 0, 0]


def test_a_session_of_which_there_is_a_handle_is_not_read() -> None:
    found = asyncio.run(attach(asking(Bench()), "s1", lambda number: number == 1))
    assert isinstance(found, tuple)
    assert (found[0].session, found[1]) == (1, None)


def test_a_session_that_is_not_there_is_trouble() -> None:
    found = asyncio.run(attach(asking(Bench()), "x", lambda number: False))
    assert isinstance(found, Trouble)
    assert "no session 'x'" in found.reason


def test_a_server_that_leaves_rows_out_is_no_endless_loop() -> None:
    attached = SessionAttached(
        request=1, session=1, name="x", fail_fast=True, n_specs=0, n_tasks=1, n_objects=0, done=0
    )
    answers = iter([attached, GraphRead(2, (), EMPTY, EMPTY)])

    async def ask(make: Any) -> Any:
        return next(answers)

    with pytest.raises(ProtocolViolation, match="left out 1 rows of session 1"):
        asyncio.run(attach(ask, "x", lambda number: False))
