"""Workers that leave without loss: no new tasks, data copied to others, then the end."""

from __future__ import annotations

import pytest

from rain.protocol.client import DrainWorker, RequestFailed
from rain.protocol.columns import pack
from rain.protocol.worker import Fetched
from rain.server.machine.why import explain
from tests.unit.server.machine.bench import Bench, numbers, spec

DRAIN = 50


def drain(bench: Bench, worker: int, *, wait: bool = True) -> None:
    bench.client_says(DrainWorker(DRAIN, worker, wait))


def refusal(bench: Bench) -> str:
    answer = bench.answer(RequestFailed)
    assert isinstance(answer, RequestFailed)
    assert answer.request == DRAIN
    bench.ignore()
    return answer.reason


@pytest.fixture
def holding() -> Bench:
    """Both workers hold a kept result: w1 has o0, w2 has o1."""
    bench = Bench()
    bench.worker_joins()
    bench.worker_joins()
    for made in bench.tasks(2, keep=True):
        assert made.out == made.task
    bench.submit()
    for task, worker in enumerate(bench.session.tasks.worker):
        bench.finishes(worker, task)
    assert sorted(bench.session.objects.holder) == [1, 2]
    bench.ignore()
    return bench


def object_of(bench: Bench, worker: int) -> int:
    return bench.session.objects.holder.index(worker)


def test_an_idle_worker_without_data_leaves_at_the_next_tick() -> None:
    bench = Bench()
    bench.worker_joins()
    bench.worker_joins()
    drain(bench, 1)
    bench.expect_nothing()
    bench.time_passes(0.2)
    bench.expect("w1 stops", f"request {DRAIN} is acknowledged")
    assert list(bench.machine.state.workers) == [2]


def test_who_does_not_wait_is_answered_at_once() -> None:
    bench = Bench()
    bench.worker_joins()
    drain(bench, 1, wait=False)
    bench.expect(f"request {DRAIN} is acknowledged")
    bench.time_passes(0.2)
    bench.expect("w1 stops")


def test_what_it_was_given_is_finished_and_it_gets_nothing_new() -> None:
    bench = Bench()
    bench.worker_joins()
    running = bench.task()
    bench.submit()
    bench.worker_joins()
    drain(bench, 1)
    bench.ignore()
    first, second = bench.tasks(2)
    bench.submit()
    bench.expect(f"w2 computes t{first.task}")
    bench.time_passes(0.2)
    bench.expect_nothing()
    bench.finishes(1, running.task)
    bench.ignore()
    bench.time_passes(0.2)
    bench.expect("w1 stops", f"request {DRAIN} is acknowledged")
    assert bench.session.tasks.attempt[second.task] == 0


def test_what_only_it_holds_is_copied_first(holding: Bench) -> None:
    obj = object_of(holding, 1)
    drain(holding, 1)
    holding.time_passes(0.2)
    [copies] = holding.computes()
    assert copies.worker == 2
    assert numbers("I", copies.compute.task) == []
    assert numbers("I", copies.compute.source) == [obj]
    assert numbers("I", copies.compute.source_holder) == [1]
    assert [peer.number for peer in copies.compute.peers] == [1]
    holding.ignore()
    holding.time_passes(0.2)
    holding.expect_nothing()
    holding.worker_says(2, Fetched(1, pack("I", [obj])))
    holding.time_passes(0.2)
    holding.expect("w1 stops", f"request {DRAIN} is acknowledged")
    assert list(holding.session.objects.holder) == [2, 2]
    assert holding.session.unfinished == 0


def test_the_copies_of_a_session_go_when_it_ends(holding: Bench) -> None:
    drain(holding, 1)
    holding.time_passes(0.2)
    holding.worker_says(2, Fetched(1, pack("I", [object_of(holding, 1)])))
    holding.time_passes(0.2)
    holding.ignore()
    request = holding.closes()
    holding.expect(f"request {request} is acknowledged", "w2 ends s1", "stash closes s1")
    assert holding.machine.state.workers[2].n_objects == 0


def test_a_copy_whose_worker_is_lost_is_ordered_from_another_one(holding: Bench) -> None:
    holding.worker_joins()
    obj = object_of(holding, 1)
    drain(holding, 1)
    holding.time_passes(0.2)
    [first] = holding.computes()
    holding.ignore()
    holding.worker_leaves(first.worker)
    holding.ignore()
    holding.time_passes(0.2)
    [second] = holding.computes()
    assert {first.worker, second.worker} == {2, 3}
    assert obj in numbers("I", second.compute.source)


def test_a_copy_that_was_lost_again_is_ordered_again(holding: Bench) -> None:
    holding.worker_joins()
    obj = object_of(holding, 1)
    drain(holding, 1)
    holding.time_passes(0.2)
    [copies] = holding.computes()
    holding.worker_says(copies.worker, Fetched(1, pack("I", [obj])))
    holding.lacks(2, obj, copies.worker)
    holding.ignore()
    holding.time_passes(3)
    [again] = holding.computes()
    assert numbers("I", again.compute.source) == [obj]


def test_small_results_that_the_server_has_need_no_copy() -> None:
    bench = Bench()
    bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    bench.finishes(1, made.task, size=10)
    bench.ignore()
    drain(bench, 1)
    bench.time_passes(0.2)
    bench.expect("w1 stops", f"request {DRAIN} is acknowledged")


def test_the_last_worker_stays_while_it_is_needed() -> None:
    bench = Bench()
    bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    drain(bench, 1)
    assert "w1 is needed, no other worker stays: 1 tasks are not done, and 0 objects" in refusal(bench)
    bench.finishes(1, made.task)
    drain(bench, 1)
    assert "0 tasks are not done, and 1 objects" in refusal(bench)
    bench.worker_joins()
    drain(bench, 2)
    bench.time_passes(0.2)
    assert list(bench.machine.state.workers) == [1]


def test_two_workers_do_not_leave_their_data_to_one_another(holding: Bench) -> None:
    drain(holding, 1)
    drain(holding, 2)
    assert "w2 is needed" in refusal(holding)


def test_a_worker_goes_back_to_work_when_the_others_are_lost(holding: Bench) -> None:
    drain(holding, 1)
    holding.ignore()
    holding.worker_leaves(2)
    holding.ignore()
    holding.time_passes(0.2)
    assert "w1 is needed" in refusal_among(holding)
    assert holding.machine.state.workers[1].drain is None


def refusal_among(bench: Bench) -> str:
    answer = bench.answer(RequestFailed)
    assert isinstance(answer, RequestFailed)
    return answer.reason


def test_a_worker_that_is_lost_has_left() -> None:
    bench = Bench()
    bench.worker_joins()
    bench.worker_joins()
    drain(bench, 1)
    bench.worker_leaves(1)
    bench.expect(f"request {DRAIN} is acknowledged")


def test_a_worker_that_is_not_there_cannot_leave() -> None:
    bench = Bench()
    drain(bench, 4)
    assert refusal(bench) == "there is no worker w4: it left, or never was."


def test_a_worker_that_leaves_does_not_count_for_what_can_run() -> None:
    bench = Bench()
    bench.worker_joins(4)
    bench.worker_joins(1)
    running = bench.task(spec=spec(cpus=4))
    bench.submit()
    drain(bench, 1)
    big = bench.task(spec=spec(cpus=2))
    bench.submit()
    assert [each.needed.describe() for each in bench.machine.impossible_tasks()] == ["cpus=2"]
    assert explain(bench.machine.state, bench.session, big.task)[0].endswith("the workers are w2 with cpus=1")
    assert bench.session.tasks.worker[running.task] == 1


def test_a_worker_without_room_for_a_copy_is_not_asked_again_while_there_is_another(holding: Bench) -> None:
    third = holding.worker_joins()
    drain(holding, 1)
    asked = []
    for _ in range(3):
        holding.ignore()
        holding.time_passes(0.2)
        [copies] = holding.computes()
        asked.append(copies.worker)
        holding.lacks(copies.worker, object_of(holding, 1), 1, unwritten="No space left on device")
        assert holding.session.objects.is_held_by(object_of(holding, 1), 1)
    assert sorted(asked[:2]) == [2, third]
    assert asked[0] == asked[2]
