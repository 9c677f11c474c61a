"""Tasks come: which run at once, which wait, what is fetched."""

from __future__ import annotations

import pytest

from rain.core.errors import ProtocolViolation
from rain.protocol.columns import pack
from rain.protocol.transfer import Peer
from rain.protocol.worker import Compute
from rain.worker.machine.effects import LearnPeers, QueuedRun
from tests.unit.worker.machine.bench import NUMBER, Bench, Given, Source, spec


def test_a_task_without_inputs_runs_at_once() -> None:
    bench = Bench()
    bench.computes(Given(5, args=b"abc", first_output=9))
    batch = bench.runs(1, 5)
    assert batch.runs == (QueuedRun(5, 1, 0, 9, memoryview(b"abc"), ()),)
    assert batch.new_specs == ((0, spec()),)
    bench.nothing_else_happened()


def test_arguments_and_inputs_reach_their_tasks() -> None:
    bench = Bench(cpus=3)
    sources = [Source(90, inline=True), Source(91, inline=True)]
    tasks = [Given(0, args=b"a"), Given(1, inputs=(91, 90, 91)), Given(2, args=b"cc", inputs=(90,))]
    bench.computes(*tasks, sources=sources)
    found = [bench.runs(executor, task).runs[0] for executor, task in [(2, 0), (1, 1), (0, 2)]]
    assert [bytes(task.args) for task in found] == [b"a", b"", b"cc"]
    assert [task.inputs for task in found] == [(), (91, 90, 91), (90,)]
    bench.nothing_else_happened()


def test_inline_sources_are_present_at_once_and_not_told() -> None:
    bench = Bench()
    bench.computes(Given(0, inputs=(90,)), sources=[Source(90, inline=True)])
    bench.runs(1, 0)
    bench.nothing_else_happened()


def test_peers_are_learned_before_anything_is_fetched_from_them() -> None:
    bench = Bench()
    peer = Peer(3, "node", 4000, "k" * 40)
    bench.computes(Given(0, inputs=(90,)), sources=[Source(90)], peers=(peer,))
    kinds = [type(effect).__name__ for effect in bench._effects]
    assert kinds == ["LearnPeers", "Fetch"]
    assert bench.take(LearnPeers) == LearnPeers((peer,))
    bench.fetches(90)
    bench.nothing_else_happened()


def test_a_task_waits_for_all_its_inputs() -> None:
    bench = Bench()
    bench.computes(Given(0, inputs=(90, 91, 90)), sources=[Source(90), Source(91, holder=4)])
    bench.fetches(90, holder=3)
    bench.fetches(91, holder=4)
    bench.arrive(90)
    bench.tells_fetched(90)
    bench.nothing_else_happened()
    bench.arrive(91)
    bench.tells_fetched(91)
    bench.runs(1, 0)
    bench.nothing_else_happened()


def test_one_fetch_per_holder_carries_all_objects_of_a_call() -> None:
    bench = Bench()
    first = bench.compute(Given(0, inputs=(90, 91)), sources=[Source(90), Source(91)])
    second = bench.compute(Given(1, inputs=(91, 92)), sources=[Source(91), Source(92)])
    bench.says(first, second)
    bench.fetches(90, 91, 92)
    bench.nothing_else_happened()


def test_an_object_on_its_way_is_not_fetched_again_and_all_who_follow_get_it() -> None:
    bench = Bench()
    bench.computes(Given(0, inputs=(90,)), sources=[Source(90)])
    bench.fetches(90)
    bench.computes(Given(1, inputs=(90,)), sources=[Source(90, holder=4)])
    bench.computes(Given(2, inputs=(90,)))
    bench.nothing_else_happened()
    bench.arrive(90)
    bench.tells_fetched(90)
    bench.runs(1, 0)
    bench.runs(0, 1)
    bench.finishes(1, 0)
    bench.runs(1, 2)
    bench.reports(0)
    bench.nothing_else_happened()


def test_an_object_that_is_here_is_not_fetched_but_the_server_is_told() -> None:
    bench = Bench()
    bench.computes(Given(0, inputs=(90,)), sources=[Source(90, inline=True)])
    bench.computes(Given(1, inputs=(90,)), sources=[Source(90, inline=False)])
    bench.runs(1, 0)
    bench.runs(0, 1)
    bench.tells_fetched(90)
    bench.nothing_else_happened()


def test_the_output_of_an_earlier_task_makes_its_consumers_ready_without_the_server() -> None:
    bench = Bench()
    bench.computes(0, Given(1, inputs=(0,)), Given(2, inputs=(1,)))
    bench.runs(1, 0)
    bench.nothing_else_happened()
    bench.finishes(1, 0)
    bench.runs(1, 1)
    bench.reports(0)
    bench.finishes(1, 1)
    bench.runs(1, 2)
    bench.reports(1)
    bench.nothing_else_happened()


def test_an_input_that_is_named_is_fetched_even_if_it_is_being_made_here() -> None:
    bench = Bench()
    bench.computes(Given(0, first_output=90), Given(1, inputs=(90,)), sources=[Source(90)])
    bench.runs(1, 0)
    bench.fetches(90)
    bench.arrive(90)
    bench.tells_fetched(90)
    bench.runs(0, 1)
    bench.finishes(1, 0)
    bench.reports(0)
    bench.nothing_else_happened()


def test_an_input_that_is_nowhere_gives_the_task_back_in_the_workers_own_name() -> None:
    bench = Bench()
    bench.computes(Given(0, inputs=(90,)), 1, Given(2, inputs=(0,)))
    bench.runs(1, 1)
    bench.gives_back(0, lost=[90], holder=NUMBER)
    bench.nothing_else_happened()


def test_a_repeated_task_is_ignored() -> None:
    bench = Bench()
    message = bench.compute(0)
    bench.says(message)
    bench.runs(1, 0)
    bench.says(message)
    bench.nothing_else_happened()


def test_a_newer_attempt_replaces_the_older_one() -> None:
    bench = Bench()
    bench.computes(0)
    bench.runs(1, 0)
    bench.computes(Given(0, attempt=2))
    bench.kills(1)
    assert bench.runs(0, 0).runs[0].attempt == 2
    bench.ends(1, n_started=1, signal=9)
    bench.executors_start(2)
    bench.nothing_else_happened()


def test_a_spec_goes_to_each_executor_once() -> None:
    bench = Bench(cpus=1)
    bench.computes(0, specs=[spec()])
    assert [number for number, _ in bench.runs(0, 0).new_specs] == [0]
    bench.finishes(0, 0)
    bench.reports(0)
    bench.computes(1, Given(2, spec=1), specs=[spec(n_outputs=1, timeout_s=9)])
    assert bench.runs(0, 1).new_specs == ()
    bench.finishes(0, 1)
    assert [number for number, _ in bench.runs(0, 2).new_specs] == [1]
    bench.reports(1)
    bench.nothing_else_happened()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attempt": pack("I", [])}, "expected 1 rows"),
        ({"n_inputs": pack("I", [2])}, "add up to 2"),
        ({"args_size": pack("I", [5])}, "add up to 5"),
        ({"spec": pack("I", [77])}, r"s1: specs \[77\] were never sent"),
        ({"source": pack("I", [1])}, "source_holder"),
    ],
)
def test_a_message_that_contradicts_itself_is_refused(changes: dict[str, memoryview], words: str) -> None:
    bench = Bench()
    message = bench.compute(0)
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    with pytest.raises(ProtocolViolation, match=words):
        bench.says(Compute(**(fields | changes)))


def test_a_task_that_can_never_run_here_is_refused() -> None:
    with pytest.raises(ProtocolViolation, match="asks for cpus=3, more than this worker has"):
        Bench(cpus=2).computes(0, specs=[spec(cpus=3)])


def test_an_object_is_never_fetched_from_the_worker_itself() -> None:
    with pytest.raises(ProtocolViolation, match=r"s1\.o90"):
        Bench().computes(Given(0, inputs=(90,)), sources=[Source(90, holder=NUMBER)])
