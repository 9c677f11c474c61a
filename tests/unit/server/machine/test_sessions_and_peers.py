"""Sessions that end, clients and workers that come, go, are silent or talk nonsense."""

from __future__ import annotations

import pytest

from rain.core.liveness import CLIENT_DEAD_AFTER_S
from rain.protocol.client import ClientAlive, OpenSession, RequestFailed, Shutdown, Unwait
from rain.protocol.columns import EMPTY, pack
from rain.protocol.queries import ObjectNews, QueryObjects, QueryServer, QueryTasks, ServerInfo, TaskNews
from rain.protocol.shown import TASK_STATE_NAMES
from rain.protocol.worker import Done, Failed, Fetched, Unavailable, WorkerPong
from rain.server.machine.effects import Terminate
from rain.server.machine.events import ClientJoined, ClientLeft, Tick
from tests.unit.server.machine.bench import BOOM, Bench


def test_closing_a_session_stops_its_tasks_and_drops_its_data_everywhere() -> None:
    bench = Bench()
    bench.worker_joins(cpus=2)
    bench.worker_joins()
    bench.tasks(1)
    bench.submit()
    wait = bench.waits(everything=True)
    (sent,) = bench.computes()
    bench.ignore()
    request = bench.closes()
    bench.expect(
        f"w{sent.worker} ends s1",
        "stash closes s1",
        f"request {wait} failed",
        f"request {request} is acknowledged",
    )
    assert all(not worker.outstanding for worker in bench.machine.state.workers.values())
    request = bench.closes()
    bench.expect(f"request {request} is acknowledged")


def test_the_sessions_of_a_client_that_left_end_at_once() -> None:
    bench = Bench()
    bench.worker_joins()
    bench.tasks(1)
    bench.submit()
    bench.ignore()
    bench.client_leaves()
    bench.expect("w1 ends s1", "stash closes s1")


def test_a_session_with_a_time_to_live_goes_on_and_ends_later() -> None:
    bench = Bench(ttl_s=60)
    worker = bench.worker_joins()
    bench.tasks(2, keep=True)
    bench.submit()
    bench.client_leaves()
    bench.ignore()
    bench.finishes(worker, 0, us=10_000_000)
    bench.expect("w1 computes t1")
    for _ in range(4):
        bench.time_passes(15)
        bench.worker_says(worker, WorkerPong())
    bench.expect("w1 is asked", "w1 is asked", "w1 is asked", "w1 is asked", "w1 ends s1", "stash closes s1")


def test_peers_are_asked_then_given_up() -> None:
    bench = Bench()
    bench.worker_joins()
    bench.tasks(1)
    bench.submit()
    bench.ignore()
    bench.time_passes(2)
    bench.expect("w1 is asked", "the client is told that the server lives")
    bench.client_says(ClientAlive())
    bench.time_passes(18.5)
    bench.expect("w1 is dropped", "the client is told that the server lives")
    assert list(bench.session.tasks.attempt) == [1]
    bench.time_passes(CLIENT_DEAD_AFTER_S - 20)
    bench.expect("the client is told that the server lives", "s1 lacks a worker")
    bench.time_passes(2)
    bench.expect("client 1 is dropped", "stash closes s1")


def test_shutdown_stops_the_workers_and_then_the_server() -> None:
    bench = Bench()
    bench.worker_joins()
    bench.worker_joins()
    bench.client_says(Shutdown(5))
    assert type(bench.effects[-1]).__name__ == "Terminate"
    bench.expect("request 5 is acknowledged", "w1 stops", "w2 stops", "the server ends")


NONSENSE = {
    "a task that was never given": Done(
        session=1, task=pack("I", [9]), attempt=pack("I", [0]), duration_us=pack("I", [0]), size=EMPTY, inline=EMPTY
    ),
    "fewer sizes than outputs": Done(
        session=1, task=pack("I", [0]), attempt=pack("I", [0]), duration_us=pack("I", [0]), size=EMPTY, inline=EMPTY
    ),
    "fewer bytes than sizes": Done(
        session=1,
        task=pack("I", [0]),
        attempt=pack("I", [0]),
        duration_us=pack("I", [0]),
        size=pack("Q", [5]),
        inline=pack("B", [1]),
    ),
    "columns of different lengths": Done(
        session=1,
        task=pack("I", [0]),
        attempt=pack("I", [0, 0]),
        duration_us=pack("I", [0]),
        size=pack("Q", [5]),
        inline=pack("B", [0]),
    ),
    "an object that is not there": Fetched(1, pack("I", [77])),
    "holders without objects": Unavailable(1, pack("I", [0]), EMPTY, EMPTY, EMPTY),
    "an unavailable object that is not there": Unavailable(1, pack("I", [77]), pack("I", [1]), EMPTY, EMPTY),
}


@pytest.mark.parametrize("message", NONSENSE.values(), ids=NONSENSE.keys())
def test_a_worker_that_talks_nonsense_is_dropped_and_its_tasks_run_elsewhere(
    message: Done | Fetched | Unavailable,
) -> None:
    bench = Bench()
    first = bench.worker_joins()
    bench.tasks(1)
    bench.submit()
    bench.worker_joins()
    bench.ignore()
    bench.worker_says(first, message)
    bench.expect("w1 is dropped", "w2 computes t0")
    bench.worker_says(first, message)
    bench.expect_nothing()


def test_a_wait_that_was_given_up_is_not_answered() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    bench.task(keep=True)
    bench.submit()
    wait, locate = bench.waits(everything=True), bench.locates(0)
    bench.client_says(Unwait(wait), Unwait(locate))
    bench.ignore()
    bench.finishes(worker, 0)
    bench.expect("1 done, 0 left")


def test_tasks_objects_and_the_server_can_be_asked_about() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    bench.task(keep=True)
    bench.task(0)
    bench.submit()
    bench.finishes(worker, 0, us=10_000_000)
    bench.ignore()
    bench.client_says(QueryTasks(1, 1, pack("I", [1, 0])), QueryObjects(2, 1, pack("I", [0, 1])), QueryServer(3))
    tasks, objects, server = bench.answer(TaskNews), bench.answer(ObjectNews), bench.answer(ServerInfo)
    assert isinstance(tasks, TaskNews)
    assert isinstance(objects, ObjectNews)
    assert isinstance(server, ServerInfo)
    assert [task.state for task in tasks.tasks] == ["running", "finished"]
    assert tasks.tasks[1].duration_us == 10_000_000
    assert [(obj.state, obj.size) for obj in objects.objects] == [("finished", 100_000), ("unfinished", None)]
    (info,) = server.workers
    assert (info.n_tasks, info.n_objects, info.tasks, info.objects) == (1, 2, ((1, 1),), ((1, 0), (1, 1)))
    assert server.sessions[0].tasks == {"waiting": 0, "running": 1, "finished": 1, "failed": 0, "cancelled": 0}


def test_states_of_many_tasks_come_as_a_column() -> None:
    bench = Bench(fail_fast=False)
    worker = bench.worker_joins(cpus=4)
    bench.task(keep=True)
    bench.task(0)
    bench.task(keep=True)
    bench.submit()
    bench.fails(worker, 0)
    bench.finishes(worker, 2)
    bench.ignore()
    bench.client_says(QueryTasks(1, 1, pack("I", [2, 1, 0, 2]), states_only=True))
    news = bench.answer(TaskNews)
    assert isinstance(news, TaskNews)
    assert news.tasks == ()
    assert [TASK_STATE_NAMES[state] for state in news.states] == ["finished", "failed", "failed", "finished"]


@pytest.mark.parametrize("task", [-1, 1, 2**40])
def test_a_failure_of_a_task_that_there_is_not_changes_nothing(task: int) -> None:
    bench = Bench()
    worker = bench.worker_joins()
    bench.tasks(1)
    bench.submit()
    bench.ignore()
    bench.worker_says(worker, Failed(1, task, 0, BOOM))
    bench.expect_nothing()


@pytest.mark.parametrize("ttl_s", [float("nan"), float("inf"), -1.0])
def test_a_session_cannot_outlive_its_client_for_ever(ttl_s: float) -> None:
    bench = Bench()
    bench.client_says(OpenSession(7, ttl_s=ttl_s))
    assert "outlives its client by 0 to" in str(bench.answer(RequestFailed))
    assert list(bench.machine.state.sessions) == [1]


def test_a_cluster_that_is_told_to_ends_when_neither_a_client_nor_a_session_is_left() -> None:
    bench = Bench(ttl_s=60)
    bench.machine.state.idle_end_s = 10.0
    bench.worker_joins()
    bench.client_leaves()
    bench.ignore()
    for seconds, ends in ((59, False), (5, False), (4, False), (10, True)):
        for _ in range(seconds):
            bench.now += 1.0
            bench.worker_says(1, WorkerPong())
            bench.happens(Tick())
        assert bench.machine.state.stopping is ends, bench.now
    assert any(isinstance(effect, Terminate) for effect in bench.effects)


def test_a_client_that_comes_in_time_keeps_an_idle_cluster() -> None:
    bench = Bench()
    bench.machine.state.idle_end_s = 10.0
    bench.client_leaves()
    bench.machine.state.was_used = False
    # The first one has longer, since the workers come before.
    for _ in range(59):
        bench.now += 1.0
        bench.happens(Tick())
    assert not bench.machine.state.stopping
    bench.happens(ClientJoined(2), Tick(), ClientLeft(2))
    for client in (3, 4, 5):
        for _ in range(9):
            bench.now += 1.0
            bench.happens(Tick())
        bench.happens(ClientJoined(client), Tick(), ClientLeft(client))
        assert not bench.machine.state.stopping
