"""One session, used from several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rain.client import RainException, Session, blob, function, tasks

#: Nothing here takes nearly as long.
LIMIT_S = 60.0


@function
def add(a: int, b: int) -> int:
    return a + b


def in_another_thread(call: Callable[[], Any]) -> Any:
    """The result of the call in a thread of its own, which has ended."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(LIMIT_S)


def test_eight_threads_build_keep_submit_and_fetch_in_one_session(session: Session) -> None:
    start = threading.Barrier(8)

    def rounds(thread: int) -> list[int]:
        start.wait(LIMIT_S)
        found = []
        with session.bind_only():
            for number in range(50):
                first = add(thread * 1000, number)
                second = add(first, 1)
                second.output.keep()
                session.submit()
                found.append(second.output.fetch(LIMIT_S).load())
        return found

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(rounds, range(8)))
    assert results == [[thread * 1000 + number + 1 for number in range(50)] for thread in range(8)]


def test_eight_threads_compute_in_one_session(session: Session) -> None:
    start = threading.Barrier(8)

    def rounds(thread: int) -> list[bytes]:
        start.wait(LIMIT_S)
        texts = [f"{thread} {number}" for number in range(20)]
        with session.bind_only():
            return [session.compute(tasks.concat(blob(text), blob("!")), timeout=LIMIT_S).get_bytes() for text in texts]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(rounds, range(8)))
    assert results == [[f"{thread} {number}!".encode() for number in range(20)] for thread in range(8)]


def test_what_another_thread_submitted_can_be_kept_and_read_until_its_own_thread_submits(session: Session) -> None:
    task, constant, array = add(1, 2), blob("x"), add.map([1, 2], [3, 4])
    in_another_thread(session.submit)
    assert (task.state, task.output.is_kept()) == ("waiting", False)
    array[1].output.keep()
    task.output.keep()
    twice = tasks.concat(constant, constant)
    total = add(task, array[0])
    assert [each.load() for each in session.compute(task, total, array[1], timeout=LIMIT_S)] == [3, 7, 6]
    assert twice.state == "waiting"
    with pytest.raises(RainException, match=r"was submitted already: call `\.keep\(\)` before"):
        array[0].output.keep()
    with pytest.raises(RainException, match="was not kept, so it is gone"):
        add(array[0], 1)


def test_what_was_lent_and_not_kept_is_dropped_when_its_thread_submits(session: Session) -> None:
    task = add(1, 2)
    in_another_thread(session.submit)
    session.wait(task, timeout=LIMIT_S)
    session.update(task.output)
    assert task.output.state == "finished"
    session.submit()
    session.update(task.output)
    assert task.output.state == "removed"


def test_what_was_lent_can_be_unkept(session: Session) -> None:
    task, kept = add(1, 2), add(3, 4).keep_outputs()
    in_another_thread(session.submit)
    session.wait([task, kept], timeout=LIMIT_S)
    session.unkeep([task, kept])
    session.update([task.output, kept.output])
    assert (task.output.state, kept.output.state) == ("removed", "removed")
    with pytest.raises(RainException, match="was submitted already"):
        kept.output.keep()


def test_what_a_thread_built_before_it_ended_is_not_lent(session: Session) -> None:
    def build() -> Any:
        with session.bind_only():
            return add(1, 2)

    task = in_another_thread(build)
    session.submit()
    with pytest.raises(RainException, match="was submitted already"):
        task.output.keep()


factor = 2


@function
def scaled(x: int) -> int:
    return x * factor


def test_a_global_that_was_changed_is_seen_after_the_submit(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    assert session.compute(scaled(10), timeout=LIMIT_S).load() == 20
    monkeypatch.setitem(globals(), "factor", 3)
    assert session.compute(scaled(10), timeout=LIMIT_S).load() == 30
    array = session.compute(scaled.map([1, 2]), scaled(3, name="named"), timeout=LIMIT_S)
    assert [array[0][1].load(), array[1].load()] == [6, 9]
