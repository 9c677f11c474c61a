"""Small results: of a task that was waited for they are there already, of a large array they come in few messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rain.client import Client, RainException, Session, SessionException, fetching, remote
from rain.client.machine.events import Request
from rain.protocol.client import Locate

LIMIT_S = 20.0


@remote(auto_load=True, auto_encode="pickle")
def same(ctx: Any, value: object) -> object:
    ctx.info.user["of"] = "task"
    return value


@remote()
def annotated(ctx: Any) -> Any:
    result = ctx.blob(b"text", content_type="text")
    result.info.user["by"] = "me"
    return result


@remote()
def large(ctx: Any) -> bytes:
    return b"x" * 5000


@pytest.fixture
def located(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[Locate]:
    """The questions for objects that were asked."""
    asked: list[Locate] = []
    ask = client._shell._conversation.ask

    def noting(make: Callable[[int], Request]) -> Any:
        def noted(number: int) -> Request:
            message = make(number)
            if isinstance(message, Locate):
                asked.append(message)
            return message

        return ask(noted)

    monkeypatch.setattr(client._shell._conversation, "ask", noting)
    return asked


def test_a_fetch_after_a_wait_asks_nothing(session: Session, located: list[Locate]) -> None:
    task = annotated()
    task.keep_outputs()
    session.submit()
    task.wait(timeout=LIMIT_S)
    fetched = task.output.fetch(timeout=LIMIT_S)
    assert (fetched.get_bytes(), fetched.content_type, fetched.info.user) == (b"text", "text", {"by": "me"})
    assert (task.output.state, task.output.info.size, task.output.info.user) == ("finished", 4, {"by": "me"})
    assert located == []


def test_what_was_not_waited_for_and_what_is_large_is_asked_for(session: Session, located: list[Locate]) -> None:
    first, second, third = same(1), same(2), large()
    session.keep_all()
    session.submit()
    session.wait([first, third], timeout=LIMIT_S)
    assert first.output.fetch().load() == 1
    assert located == []
    assert second.output.fetch(timeout=LIMIT_S).load() == 2
    assert third.output.fetch(timeout=LIMIT_S).size == 5000
    assert len(located) == 2


def test_what_came_along_is_gone_when_it_is_not_kept_any_more(session: Session) -> None:
    task = same(1).keep_outputs()
    session.submit()
    task.wait(timeout=LIMIT_S)
    task.output.unkeep()
    with pytest.raises(RainException, match="was not kept, so it is gone"):
        task.output.fetch()


def test_what_came_along_cannot_be_had_from_a_session_that_is_closed(client: Client) -> None:
    session = client.new_session()
    with session.bind_only():
        task = same(1).keep_outputs()
    session.submit()
    task.wait(timeout=LIMIT_S)
    session.close()
    with pytest.raises(SessionException, match="closed"):
        task.output.fetch()


def test_an_array_of_small_results_comes_in_few_messages(
    session: Session, located: list[Locate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MAX_LOCATED", 150)
    array = same.map(range(400), name="mine")
    array.output.keep()
    session.submit()
    fetched = array.output.fetch(timeout=LIMIT_S)
    assert [instance.load() for instance in fetched] == list(range(400))
    assert {instance.content_type for instance in fetched} == {"pickle"}
    assert (fetched[3].spec.id, fetched[3].info.user) == (array.output[3].id, {})
    assert [len(question.objects) // 4 for question in located] == [150, 150, 100]
