"""Waiting in threads, in coroutines, with time limits, and with Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rain.client import Client, RainException, Session, TaskException, blob, function, pending, tasks

LIMIT_S = 20.0
SOON_S = 0.5


@function
def double(number: int) -> int:
    return 2 * number


@function
def fail() -> None:
    raise ValueError("as told")


def test_waiting_for_nothing_returns_at_once(session: Session) -> None:
    session.wait_all()
    session.wait([])
    assert session.wait_some([]) == ([], [])
    assert session.fetch([]) == []
    session.submit()


def test_states_move_only_when_a_call_brings_news(session: Session) -> None:
    task = double(2)
    assert (task.state, task.output.state, task.info, task.output.info) == (None, None, None, None)
    session.submit()
    assert (task.state, task.output.state) == ("waiting", "unfinished")
    task.wait(timeout=LIMIT_S)
    assert (task.state, task.info) == ("finished", None)
    task.update()
    assert task.info is not None
    assert task.info.worker in {"w1", "w2"}
    assert task.info.duration is not None
    assert task.info.error is None


def test_who_has_no_time_to_wait_learns_what_is_so_already(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    # A machine that stands still for a second is none of this test's business.
    monkeypatch.setattr(pending, "ROUND_TRIP_LIMIT_S", LIMIT_S)
    done, endless = double(2), tasks.sleep(blob("x"), 1000)
    session.submit()
    done.wait(timeout=LIMIT_S)
    for call in (done.wait, done.output.wait, lambda timeout: session.wait([done], timeout=timeout)):
        call(timeout=0)
        call(timeout=-1)
    assert session.wait_some([done, endless], timeout=0) == ([done], [])
    assert next(session.as_completed([endless, done], timeout=0)) is done
    for call in (endless.wait, session.wait_all):
        with pytest.raises(TimeoutError):
            call(timeout=0)
    session.cancel(endless)
    with pytest.raises(TaskException, match="cancelled"):
        endless.wait(timeout=0)
    session.wait_all(timeout=0)


def test_compute_takes_items_and_a_list_of_them(session: Session) -> None:
    assert [value.load() for value in session.compute(double(1), double(2))] == [2, 4]
    assert [value.load() for value in session.compute([double(1), double(2)])] == [2, 4]
    assert [value.load() for value in session.compute((double(3),))] == [6]
    assert session.compute(double(4)).load() == 8
    assert session.compute([]) == []
    task = double(5).output
    session.compute(task)
    with pytest.raises(RainException, match=r"found a list among others: write `compute\(\*items\)`"):
        session.compute([task], task)


def test_a_time_limit_ends_the_waiting_and_not_the_work(session: Session) -> None:
    task = tasks.sleep(blob("x"), 1.0)
    task.output.keep()
    session.submit()
    for call in (task.wait, session.wait_all, task.output.fetch):
        with pytest.raises(TimeoutError, match=r"did not finish within 0\.05 s; it goes on"):
            call(timeout=0.05)
    assert task.output.fetch(timeout=LIMIT_S) == "x"


def test_wait_some_gives_what_is_finished(session: Session) -> None:
    slow, quick = tasks.sleep(blob("x"), 600), double(1)
    session.submit()
    assert session.wait_some([slow, quick, quick.output], timeout=LIMIT_S) == ([quick], [quick.output])
    assert [slow.state, quick.state, quick.output.state] == ["waiting", "finished", "finished"]


def test_as_completed_goes_in_the_order_of_completion(session: Session) -> None:
    slow, quick = tasks.sleep(blob("x"), 0.5), double(1)
    session.submit()
    assert list(session.as_completed([slow, quick], timeout=LIMIT_S)) == [quick, slow]


def test_as_completed_goes_by_async_for_as_well(session: Session) -> None:
    constant, slow, quick, array = blob("x"), tasks.sleep(blob("x"), 0.5), double(1), double.map(range(3))
    session.submit()

    async def main() -> list[object]:
        return [item async for item in session.as_completed([slow, array, quick, constant], timeout=LIMIT_S)]

    found = asyncio.run(main())
    assert (found[0], found[-1]) == (constant, slow)
    assert set(found) == {constant, slow, quick, *array}


def test_a_step_of_async_as_completed_has_a_time_limit(session: Session) -> None:
    slow = tasks.sleep(blob("x"), 0.3)
    session.submit()

    async def main() -> object:
        hasty = session.as_completed(slow, timeout=0.01)
        with pytest.raises(TimeoutError, match=r"did not finish within 0\.01 s; it goes on"):
            await anext(hasty)
        return await anext(session.as_completed(slow, timeout=LIMIT_S))

    assert asyncio.run(main()) is slow


def test_ctrl_c_ends_a_wait_and_the_client_stays_usable(session: Session) -> None:
    task = tasks.sleep(blob("x"), 600)
    task.output.keep()
    session.submit()
    for call in (task.wait, session.wait_all, task.output.fetch):
        sent: list[float] = []

        def interrupt(sent: list[float] = sent) -> None:
            sent.append(time.monotonic())
            signal.raise_signal(signal.SIGINT)

        # The harder case: a thread takes the signal, and the main one, which has to handle it, is not woken by that.
        timer = threading.Timer(0.1, interrupt)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            call(timeout=LIMIT_S)
        assert time.monotonic() - sent[0] < SOON_S
        timer.join()
    assert session.compute(double(3), timeout=LIMIT_S).load() == 6


def test_threads_share_a_client(client: Client) -> None:
    def work(number: int) -> int:
        with client.new_session() as session:
            found: int = session.compute(double(double(number)), timeout=LIMIT_S).load()
            return found

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(24))) == [4 * number for number in range(24)]


def test_threads_build_in_one_session(session: Session) -> None:
    def build(number: int) -> int:
        return double(number, session=session)._first_output

    with ThreadPoolExecutor(8) as pool:
        first_outputs = list(pool.map(build, range(400)))
    assert sorted(first_outputs) == list(range(400))
    session.submit()
    session.wait_all(timeout=LIMIT_S)


def test_coroutines_await_tasks_objects_and_sessions(client: Client) -> None:
    async def one(number: int) -> int:
        session = client.new_session()
        try:
            task = double(number, session=session)
            task.output.keep()
            session.submit()
            await task
            await session
            fetched = await task.output
            value: int = fetched.load()
            return value
        finally:
            session.close()

    async def main() -> list[int]:
        return await asyncio.gather(*(one(number) for number in range(10)))

    assert asyncio.run(main()) == [2 * number for number in range(10)]


def test_a_coroutine_that_is_cancelled_gives_its_wait_up(session: Session) -> None:
    task = tasks.sleep(blob("x"), 600)
    session.submit()

    async def main() -> None:
        async with asyncio.timeout(0.05):
            await task

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert task.state == "waiting"


def test_awaiting_a_failed_task_raises_it(session: Session) -> None:
    task = fail()
    session.submit()

    async def main() -> None:
        await task

    with pytest.raises(TaskException, match="as told"):
        asyncio.run(main())


def test_of_many_tasks_each_step_of_as_completed_asks_for_what_is_left(session: Session) -> None:
    many = [double(number) for number in range(3000)]
    array = double.map(range(2000))
    session.submit()
    found = list(session.as_completed([*many, array, array[:5], many[7].output], timeout=LIMIT_S))
    assert len(found) == 5006
    assert set(found) == {*many, *array, many[7].output}


def test_as_completed_goes_on_after_a_time_limit_and_may_be_left_early(session: Session) -> None:
    slow = [tasks.sleep(blob("x"), pause) for pause in (0.0, 0.3, 0.6)]
    session.submit()
    steps = session.as_completed(slow, timeout=0.1)
    found = []
    while len(found) < 2:
        with contextlib.suppress(TimeoutError):
            found.append(next(steps))
    assert found == slow[:2]
    del steps
    session.wait_all(timeout=LIMIT_S)


def test_a_blocking_call_inside_a_running_loop_does_its_work(client: Client) -> None:
    async def main() -> int:
        with client.new_session() as session:
            found: int = session.compute(double(2), timeout=LIMIT_S).load()
            return found

    assert asyncio.run(main()) == 4


def test_two_loops_in_two_threads_await_the_same_task(session: Session) -> None:
    task = tasks.sleep(blob("x"), 0.2)
    task.keep_outputs()
    session.submit()

    async def main() -> str:
        await task
        return str(await task.output)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(asyncio.run, [main(), main()])) == ["x", "x"]
