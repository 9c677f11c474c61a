"""Task arrays with a cluster: computed, fetched, waited for, passed on, failed in part and cancelled."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from rain.client import (
    Client,
    Input,
    Output,
    Program,
    RainException,
    Session,
    TaskException,
    blob,
    function,
    remote,
    tasks,
)

LIMIT_S = 20.0
#: Long enough that what is cancelled is still running.
LONG_S = 60.0


@function
def square(number: int) -> int:
    return number * number


@function
def add(a: int, b: int, offset: int = 0) -> int:
    return a + b + offset


@function
def total(numbers: list[int]) -> int:
    return sum(numbers)


@function
def fail_at(number: int, bad: int) -> int:
    if number == bad:
        raise ValueError(f"not {bad}")
    return number


def values(instances: list[Any]) -> list[Any]:
    return [instance.load() for instance in instances]


def test_a_function_is_mapped_and_fetched_in_order(session: Session) -> None:
    array = square.map(range(100))
    array.output.keep()
    session.submit()
    assert array.states() == {"waiting": 100}
    assert values(array.output.fetch(timeout=LIMIT_S)) == [i * i for i in range(100)]
    assert array.states() == array.output.states() == {"finished": 100}
    assert values(array.output[::-1][:2].fetch(timeout=LIMIT_S)) == [99 * 99, 98 * 98]
    assert array[7].output.fetch(timeout=LIMIT_S).load() == 49
    assert array.output[7].info.size > 0  # type: ignore[union-attr]


def test_arrays_are_passed_on_as_columns_and_as_lists(session: Session) -> None:
    squares = square.map(range(10))
    sums = add.map(squares, range(10), offset=blob(100, encode="json"))
    backwards = add.map(squares.output[::-1], squares)
    outcome = session.compute(sums, total(sums.output), total([1, 2]), backwards, timeout=LIMIT_S)
    expected = [i * i + i + 100 for i in range(10)]
    assert values(outcome[0]) == expected
    assert [outcome[1].load(), outcome[2].load()] == [sum(expected), 3]
    assert values(outcome[3]) == [i * i + (9 - i) ** 2 for i in range(10)]


def test_arrays_of_earlier_submits_are_read_while_they_are_kept(session: Session) -> None:
    squares = square.map(range(5)).keep_outputs()
    session.submit()
    later = add.map(squares, squares)
    squares.unkeep_outputs()
    assert values(session.compute(later, timeout=LIMIT_S)) == [2 * i * i for i in range(5)]
    with pytest.raises(RainException, match="was not kept"):
        squares.output.fetch()


def test_a_remote_function_gets_instances_and_what_it_declared(session: Session) -> None:
    @remote(inputs={"numbers": Input(load=True)}, outputs=["text", Output("double", encode="json")])
    def describe(ctx: Any, one: Any, numbers: Any = (), *, table: dict[int, str]) -> Any:
        value = one.load()
        return f"{table[value]} of {sum(numbers)}", 2 * value

    table = {number: f"number {number} " + "x" * 1000 for number in range(20)}
    array = describe.map(square.map([1, 2, 3]), numbers=square.map([1, 2]), table=table)
    texts, doubles = session.compute(*array.outputs, timeout=LIMIT_S)
    assert [str(text).replace("x", "") for text in texts] == [f"number {i}  of 5" for i in (1, 4, 9)]
    assert values(doubles) == [2, 8, 18]
    [shared] = {obj for task in array for obj in task.inputs if obj.data is not None}
    assert shared.content_type == "cloudpickle"


def test_a_program_is_mapped(session: Session) -> None:
    program = Program(["cat", Input("a"), Input("b")], stdout=True)
    outcome = session.compute(
        program.map(a=square.map(range(0)), b=[]),
        program.map(a=[blob("x"), blob("y")], b=blob("!")),
        timeout=LIMIT_S,
    )
    assert outcome == [[], ["x!", "y!"]]


def test_concat_reads_an_array(session: Session) -> None:
    @remote
    def letter(ctx: Any, number: int) -> str:
        return chr(97 + number)

    assert session.compute(tasks.concat(letter.map(range(5)).output), timeout=LIMIT_S) == "abcde"


def test_one_element_fails_alone_where_the_session_lets_it(client: Client) -> None:
    with client.new_session(fail_fast=False) as session:
        array = fail_at.map(range(6), bad=3).keep_outputs()
        after = square.map(array)
        session.submit()
        with pytest.raises(
            TaskException, match=r"'fail_at' \(element 3 of 6\) failed on w[12]: ValueError: not 3"
        ) as caught:
            array.output.fetch(timeout=LIMIT_S)
        assert caught.value.index == 3
        assert caught.value.task is array[3]
        assert isinstance(caught.value.__cause__, ValueError)
        assert "test_client_arrays.py" in (caught.value.made_at or "")
        with pytest.raises(TaskException, match="element 3 of 6"):
            array[3].wait(timeout=LIMIT_S)
        array[4:].wait(timeout=LIMIT_S)
        assert values(array.output[4:].fetch(timeout=LIMIT_S)) == [4, 5]
        with pytest.raises(TaskException, match="element 3 of 6"):
            session.wait_all(timeout=LIMIT_S)
        assert array.states() == after.states() == {"finished": 5, "failed": 1}
        array.update()
        after.update()
        assert array.states() == after.states() == {"finished": 5, "failed": 1}
        assert (after[3].state, after[2].state) == ("failed", "finished")
        array.output.update()
        assert array.output.states() == {"finished": 5, "unfinished": 1}


def test_the_session_fails_by_one_element(client: Client) -> None:
    with client.new_session() as session:
        array = fail_at.map(range(3), bad=1)
        session.submit()
        for _ in range(2):
            with pytest.raises(TaskException, match="element 1 of 3") as caught:
                session.wait([array], timeout=LIMIT_S)
            assert caught.value.index == 1


def test_calls_of_the_session_take_arrays_among_tasks_and_objects(session: Session) -> None:
    array, task, constant = square.map(range(4)).keep_outputs(), square(9), blob("c")
    task.output.keep()
    constant.keep()
    session.submit()
    session.wait([array, task, array.output, constant], timeout=LIMIT_S)
    found = session.fetch([task, array[2:], constant, array[0]], timeout=LIMIT_S)
    assert [found[0].load(), values(found[1]), found[2], found[3].load()] == [81, [4, 9], "c", 0]
    assert values(session.fetch(array, timeout=LIMIT_S)) == [0, 1, 4, 9]
    session.update([array, task, array.output, task.output])
    assert task.info is not None
    assert array[1].info is None
    array[1].update()
    assert array[1].info is not None
    some_tasks, some_objects = session.wait_some([array, task.output, array.output[1:]], timeout=LIMIT_S)
    assert some_tasks == list(array)
    assert some_objects == [task.output, *array.output[1:]]
    session.unkeep([array, task])
    assert not array.output.is_kept()
    session.update(array.output)
    assert array.output.states() == {"removed": 4}


def test_elements_come_in_the_order_of_completion(session: Session) -> None:
    @function
    def wait_for(number: int, before: int = 0) -> int:
        return number

    chain: list[Any] = []
    for number in range(5):
        chain.append(wait_for.map([number], before=chain[-1][0] if chain else 0))
    array = square.map(range(50))
    session.submit()
    constant = blob("x")
    session.submit()
    found = list(session.as_completed([constant, *reversed(chain), array, array.output[:3]], timeout=LIMIT_S))
    assert found[0] is constant
    in_chain = [task for task in found if task in {each[0] for each in chain}]
    assert set(found) == {constant, *in_chain, *array, *array.output[:3]}
    assert len(found) == 1 + 5 + 50 + 3
    assert list(session.as_completed([])) == []


def test_an_array_is_cancelled_with_what_depends_on_it(session: Session) -> None:
    sleeping = Program(["sh", "-c", f"sleep {LONG_S}"], stdin="go", stdout=True).map(go=[blob("") for _ in range(6)])
    after = square.map(sleeping)
    session.submit()
    started = time.monotonic()
    sleeping.cancel()
    with pytest.raises(TaskException, match=r"\(element 0 of 6\) was cancelled"):
        sleeping.wait(timeout=LIMIT_S)
    for array in (sleeping, after):
        array.update()
        assert array.states() == {"cancelled": 6}
    assert time.monotonic() - started < LIMIT_S


def test_waiting_for_no_elements_returns_at_once(session: Session) -> None:
    array = square.map([]).keep_outputs()
    for _ in range(2):
        array.wait(timeout=LIMIT_S)
        array.output.wait(timeout=LIMIT_S)
        assert array.output.fetch(timeout=LIMIT_S) == []
        assert session.compute(array, timeout=LIMIT_S) == []
        assert list(session.as_completed(array)) == []
        array.update()
        array.cancel()
        array.unkeep_outputs()
        session.compute(square(1), timeout=LIMIT_S)


def test_time_limits_hold_for_arrays(session: Session) -> None:
    array = Program("sleep 60", stdin="go", stdout=True).map(go=[blob("")] * 2).keep_outputs()
    session.submit()
    for call in (array.wait, array.output.fetch, array.output.wait):
        with pytest.raises(TimeoutError, match="it goes on"):
            call(timeout=0.05)
    array.cancel()


def test_arrays_are_awaited(session: Session) -> None:
    async def main() -> list[int]:
        array = square.map(range(5)).keep_outputs()
        session.submit()
        await array
        return values(await array.output)

    assert asyncio.run(main()) == [0, 1, 4, 9, 16]


def test_many_elements_take_one_request_each_way(session: Session) -> None:
    n = 20_000
    array = square.map(range(n)).keep_outputs()
    session.submit()
    array.wait(timeout=LIMIT_S)
    started = time.monotonic()
    found = array.output.fetch(timeout=LIMIT_S)
    array.update()
    array.output.unkeep()
    assert time.monotonic() - started < LIMIT_S / 4
    assert (len(found), found[n - 1].load()) == (n, (n - 1) ** 2)
    assert array.states() == {"finished": n}
