"""Tasks that no present worker can run: whoever waits for them is told, and they run when a worker joins."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import rain
from rain.client import RainWarning, Session, blob, tasks

LIMIT_S = 20.0


def start_big_one(session: Session) -> Any:
    task = tasks.sleep(blob("x"), 0, cpus=64, name="big one")
    task.output.keep()
    session.submit()
    return task


@pytest.mark.parametrize(
    "wait",
    [
        lambda session, task: session.wait_all(timeout=1),
        lambda session, task: session.wait([task], timeout=1),
        lambda session, task: session.wait_some([task], timeout=1),
        lambda session, task: task.output.fetch(timeout=1),
    ],
    ids=["wait_all", "wait", "wait_some", "fetch"],
)
def test_waiting_warns_of_tasks_that_no_worker_can_run(session: Session, wait: Callable[[Session, Any], Any]) -> None:
    task = start_big_one(session)
    with (
        pytest.warns(
            RainWarning, match=r"s\d+\.t0 'big one': needed is cpus=64, the workers are w1 with cpus=2"
        ) as seen,
        pytest.raises(TimeoutError),
    ):
        wait(session, task)
    assert [warning.filename for warning in seen] == [__file__]


def test_awaiting_warns_too(session: Session) -> None:
    async def impatient(task: Any) -> None:
        await asyncio.wait_for(task, 1)

    task = start_big_one(session)
    with pytest.warns(RainWarning, match="needed is cpus=64"), pytest.raises(TimeoutError):
        asyncio.run(impatient(task))


def test_the_warning_comes_once_and_the_task_runs_when_a_worker_joins() -> None:
    with rain.local(workers=1, cpus=1) as cluster, cluster.client() as client, client.new_session() as session:
        task = tasks.concat(blob("x"), cpus=2)
        task.output.keep()
        session.submit()
        with pytest.warns(RainWarning, match="needed is cpus=2"), pytest.raises(TimeoutError):
            task.wait(timeout=1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(TimeoutError):
                task.wait(timeout=0.5)
            cluster.add_worker(cpus=2)
            assert task.output.fetch(timeout=LIMIT_S) == "x"
