"""Tasks that run, one after the other or not at all: submit, schedule, finish, release, forget."""

from __future__ import annotations

from rain.protocol.client import MAX_INLINE_CONSTANT
from rain.server.machine.stages import CANCELLED, FINISHED, READY, WAITING
from tests.unit.server.machine.bench import Bench, numbers, spec


def test_a_task_without_inputs_runs_and_its_kept_result_is_located() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    bench.expect("w1 computes t0")
    bench.finishes(worker, made.task)
    bench.expect("1 done, 0 left")
    request = bench.locates(made.out)
    bench.expect(f"request {request} located o0@w1")


def test_a_result_that_nobody_needs_is_dropped_at_once_and_its_task_forgotten() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    made = bench.task()
    bench.submit()
    bench.ignore()
    bench.finishes(worker, made.task, size=10)
    bench.expect("w1 drops o0", "stash forgets t0", "1 done, 0 left")


def test_a_small_result_that_is_needed_is_held_by_the_server_too() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    bench.ignore()
    bench.finishes(worker, made.task, size=10)
    bench.expect("stash keeps o0", "1 done, 0 left")
    request = bench.locates(made.out)
    bench.expect(f"request {request} located o0@inline")


def test_a_diamond_runs_in_order_and_lets_go_of_what_it_does_not_need() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=2)
    top = bench.task()
    left, right = bench.task(top.out), bench.task(top.out)
    bottom = bench.task(left.out, right.out, keep=True)
    bench.submit()
    bench.expect("w1 computes t0")
    bench.finishes(worker, top.task, us=10_000_000)
    bench.expect("w1 computes t1 t2")
    bench.finishes(worker, left.task, us=10_000_000)
    bench.expect_nothing()
    bench.finishes(worker, right.task, us=10_000_000)
    bench.expect("w1 computes t3", "w1 drops o0")
    bench.finishes(worker, bottom.task, us=10_000_000)
    bench.expect("w1 drops o1 o2", "4 done, 0 left")


def test_lineage_is_forgotten_when_the_kept_result_is_unkept() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    constant = bench.constant()
    first = bench.task(constant)
    second = bench.task(first.out, keep=True)
    bench.submit()
    bench.finishes(worker, first.task)
    bench.finishes(worker, second.task)
    bench.ignore()
    bench.unkeeps(second.out)
    bench.expect("w1 drops o2", "stash forgets t0 t1", "stash drops o0")


def test_unkeeping_before_the_task_ends_drops_the_result_when_it_comes() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    bench.ignore()
    bench.unkeeps(made.out)
    bench.expect_nothing()
    bench.finishes(worker, made.task)
    bench.expect("w1 drops o0", "stash forgets t0", "1 done, 0 left")


def test_unkeeping_twice_or_what_was_never_there_changes_nothing() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    bench.finishes(worker, made.task)
    bench.unkeeps(made.out)
    bench.ignore()
    bench.unkeeps(made.out, 99)
    bench.expect_nothing()


def test_a_constant_that_nobody_reads_or_keeps_is_dropped_at_once() -> None:
    bench = Bench()
    bench.constant()
    kept = bench.constant(keep=True)
    bench.submit()
    bench.expect("stash drops o0")
    request = bench.locates(kept)
    bench.expect(f"request {request} located o1@inline")


def test_a_small_constant_travels_with_the_first_message_only() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    constant = bench.constant(MAX_INLINE_CONSTANT)
    for _ in range(2):
        bench.task(constant)
    bench.submit()
    (first,) = bench.computes()
    assert numbers("I", first.compute.source) == [constant]
    assert numbers("B", first.compute.source_inline) == [1]
    bench.ignore()
    bench.finishes(worker, 0, us=10_000_000)
    (second,) = bench.computes()
    assert numbers("I", second.compute.source) == []


def test_an_input_at_another_worker_is_named_with_its_holder_and_address() -> None:
    bench = Bench()
    first = bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    bench.finishes(first, made.task)
    busy = bench.task(spec=spec(name="busy"))
    bench.submit()
    second = bench.worker_joins()
    bench.ignore()
    bench.task(made.out)
    bench.submit()
    (sent,) = bench.computes()
    assert (sent.worker, busy.task) == (second, 1)
    assert numbers("I", sent.compute.source) == [made.out]
    assert numbers("I", sent.compute.source_holder) == [first]
    assert [peer.number for peer in sent.compute.peers] == [first]


def test_a_spec_is_told_to_a_worker_once() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    bench.tasks(2)
    bench.submit()
    (first,) = bench.computes()
    bench.ignore()
    bench.finishes(worker, 0, us=10_000_000)
    (second,) = bench.computes()
    assert [len(sent.compute.specs) for sent in (first, second)] == [1, 0]


def test_later_submits_read_kept_and_unfinished_objects_of_earlier_ones() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    kept, running = bench.task(keep=True), bench.task()
    bench.submit()
    bench.finishes(worker, kept.task, us=10_000_000)
    later = bench.task(kept.out, running.out)
    bench.submit()
    assert bench.stages()[later.task] == WAITING
    bench.finishes(worker, running.task, us=10_000_000)
    bench.finishes(worker, later.task, us=10_000_000)
    assert bench.stages() == [FINISHED] * 3


def test_a_constant_that_was_dropped_may_be_sent_again() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    constant = bench.constant()
    bench.task(constant)
    bench.submit()
    bench.finishes(worker, 0)
    bench.ignore()
    bench.resend(constant)
    again = bench.task(constant)
    bench.submit()
    bench.expect("w1 computes t1")
    bench.finishes(worker, again.task)
    bench.expect("w1 drops o0 o2", "stash drops o0", "stash forgets t1", "2 done, 0 left")


def test_an_input_that_is_read_twice_counts_twice() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    first = bench.task()
    second = bench.task(first.out, first.out, keep=True)
    bench.submit()
    bench.finishes(worker, first.task)
    bench.finishes(worker, second.task)
    assert bench.stages() == [FINISHED, FINISHED]


def test_tasks_without_outputs_end_and_are_forgotten() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    store = bench.task(spec=spec(0))
    bench.submit()
    bench.ignore()
    bench.finishes(worker, store.task)
    bench.expect("stash forgets t0", "1 done, 0 left")


def test_cancelling_stops_what_runs_and_everything_that_depends_on_it() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=2)
    root, other = bench.task(), bench.task()
    reader = bench.task(root.out, keep=True)
    bench.submit()
    bench.ignore()
    wait = bench.waits(reader.task)
    request = bench.cancels(root.task)
    bench.expect(
        "w1 cancels t0.0",
        f"request {request} is acknowledged",
        f"request {wait} failed by t2",
        "stash forgets t0 t2",
    )
    assert bench.stages()[:3:2] == [CANCELLED, CANCELLED]
    bench.finishes(worker, other.task)
    everything = bench.waits(everything=True)
    bench.expect("w1 drops o1", "stash forgets t1", "3 done, 0 left", f"request {everything} is done")


def test_a_cancelled_task_that_is_done_all_the_same_has_its_result_dropped() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    made = bench.task(keep=True)
    bench.submit()
    bench.cancels(made.task)
    bench.ignore()
    bench.finishes(worker, made.task)
    bench.expect("w1 drops o0")


def test_a_task_that_reads_a_cancelled_one_is_cancelled_with_its_submit() -> None:
    bench = Bench()
    made = bench.task()
    bench.submit()
    bench.cancels(made.task)
    bench.ignore()
    late = bench.task(made.out)
    bench.submit()
    assert bench.stages() == [CANCELLED, CANCELLED]
    bench.expect("stash forgets t1", "2 done, 0 left")
    wait = bench.waits(late.task)
    bench.expect(f"request {wait} failed by t1")


def test_without_a_worker_tasks_stay_ready() -> None:
    bench = Bench()
    bench.tasks(3)
    bench.submit()
    bench.expect_nothing()
    assert bench.stages() == [READY] * 3
    bench.time_passes(1)
    bench.expect("s1 lacks a worker")
    assert "no worker is connected" in bench.machine.server_info().sessions[0].impossible
    bench.worker_joins(cpus=4)
    bench.expect("w1 computes t0 t1 t2", "s1 lacks no worker")
    assert not bench.machine.server_info().sessions[0].impossible


def test_a_first_worker_that_joins_soon_was_never_lacking() -> None:
    bench = Bench()
    bench.tasks(1)
    bench.submit()
    bench.time_passes(0.5)
    worker = bench.worker_joins()
    bench.expect("w1 computes t0")
    bench.worker_leaves(worker)
    bench.time_passes(0.9)
    bench.expect_nothing()
    bench.time_passes(0.1)
    bench.expect("s1 lacks a worker")


def test_a_request_that_no_worker_can_meet_is_reported_and_runs_when_one_joins() -> None:
    bench = Bench()
    bench.worker_joins(cpus=1)
    bench.task(spec=spec(cpus=4))
    bench.submit()
    bench.expect("s1 lacks a worker")
    (impossible,) = bench.machine.impossible_tasks()
    assert (impossible.task, impossible.n_tasks, impossible.needed.describe()) == (0, 1, "cpus=4")
    bench.time_passes(2)
    bench.expect("w1 is asked", "the client is told that the server lives")
    bench.worker_joins(cpus=4)
    bench.expect("w2 computes t0", "s1 lacks no worker")
    assert bench.machine.impossible_tasks() == ()
