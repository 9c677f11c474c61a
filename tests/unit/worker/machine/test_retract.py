"""The server asks for tasks back that have not begun."""

from __future__ import annotations

from rain.protocol.columns import unpack
from rain.protocol.worker import Retract, Retracted
from rain.worker.machine.effects import Tell
from tests.unit.worker.machine.bench import Bench, Given, Source, expect, spec


def gave_up(bench: Bench, *tasks: int, session: int = 1) -> None:
    message = bench.take(Tell).message
    assert isinstance(message, Retracted)
    expect((message.session, sorted(unpack("I", message.task, "task"))), (session, sorted(tasks)))
    expect(list(unpack("I", message.attempt, "attempt")), [1] * len(tasks))


def test_the_last_tasks_of_the_queue_are_given_up() -> None:
    bench = Bench(cpus=1)
    bench.computes(0, 1, 2, 3, 4)
    bench.runs(0, 0)
    bench.says(Retract(1, 0, 2))
    gave_up(bench, 3, 4)
    bench.nothing_else_happened()
    bench.finishes(0, 0)
    bench.reports(0)
    bench.runs(0, 1)


def test_what_has_begun_is_not_and_an_answer_always_comes() -> None:
    bench = Bench(cpus=1)
    bench.computes(0, 1)
    bench.runs(0, 0)
    bench.says(Retract(1, 0, 10))
    gave_up(bench, 1)
    for message in (Retract(1, 0, 10), Retract(1, 9, 1), Retract(8, 0, 1)):
        bench.says(message)
        gave_up(bench, session=message.session)
    bench.nothing_else_happened()


def test_tasks_for_which_others_here_wait_stay() -> None:
    bench = Bench(cpus=1)
    bench.computes(0, 5, 2, Given(3, inputs=(2,)))
    bench.runs(0, 0)
    bench.says(Retract(1, 0, 10))
    gave_up(bench, 5)
    bench.finishes(0, 0)
    bench.reports(0)
    bench.runs(0, 2)


def test_inputs_that_only_they_needed_go_when_they_were_dropped() -> None:
    bench = Bench(cpus=1)
    bench.computes(0, Given(1, inputs=(90,)), sources=[Source(90, inline=True)])
    bench.runs(0, 0)
    bench.drops(90)
    bench.nothing_else_happened()
    bench.says(Retract(1, 0, 1))
    gave_up(bench, 1)
    bench.discards(90)


def test_only_tasks_that_ask_for_the_same_are_given_up() -> None:
    bench = Bench(cpus=1)
    bench.computes(Given(0), Given(1), Given(2, spec=1), specs=[spec(), spec(cpus=0.5)])
    bench.runs(0, 0)
    bench.says(Retract(1, 1, 10))
    gave_up(bench, 2)
    bench.nothing_else_happened()
