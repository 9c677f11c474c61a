"""Tasks of a batch that read what earlier ones of it made: they get it as if it came from the worker's store."""

from __future__ import annotations

import pickle

import pytest

from rain.core.kinds import PythonConfig
from rain.core.spec import OutputSpec, TaskSpec
from rain.protocol.codec import encode
from rain.protocol.columns import pack
from rain.protocol.executor import (
    MAX_PIPE_RESULT,
    Report,
    Run,
    RunInput,
    RunRange,
    RunSpec,
    RunTask,
    TaskDone,
)
from tests.unit.executor.forkserver_bench import (
    ONE_OUTPUT,
    SESSION,
    ExecutorEnd,
    ForkserverBench,
    Reference,
    call_args,
    inline_input,
    python_spec,
)

VALUES = PythonConfig(with_context=False, load_inputs=True)
RAW = PythonConfig(with_context=False, load_inputs=False)
PICKLED = (OutputSpec(encode="pickle"),)


def made_here(obj: int) -> RunInput:
    """An input that an earlier task of the batch makes."""
    return RunInput(obj, 0, None, None, None)


def plus_one() -> TaskSpec:
    return python_spec(lambda value: value + 1, outputs=PICKLED, config=VALUES)


class Batch:
    """Tasks of one spec, in order, with an output of the same number each."""

    def __init__(self, bench: ForkserverBench, spec: TaskSpec) -> None:
        self.executor: ExecutorEnd = bench.executors[0] if bench.executors else bench.fork()
        bench.n_tasks += 1
        self._number = bench.n_tasks
        self._specs = (RunSpec(SESSION, self._number, spec),)

    def task(self, number: int, *inputs: RunInput, args: bytes | None = None) -> RunTask:
        given = call_args(*map(Reference, range(len(inputs)))) if args is None else args
        return RunTask(number, 0, self._number, number, given, inputs)

    def tasks(self, first: int, *args: bytes) -> RunRange:
        return RunRange(first, len(args), 0, self._number, first, pack("I", map(len, args)), b"".join(args))

    def send(self, *tasks: RunTask | RunRange, inner: tuple[int, ...], goes_on: bool = False) -> None:
        self.executor.pipe.send(encode(Run(SESSION, self._specs, tasks, inner, goes_on)))
        self._specs = ()

    def run(self, *tasks: RunTask, inner: tuple[int, ...]) -> list[Report]:
        self.send(*tasks, inner=inner)
        return self.reports(len(tasks))

    def reports(self, n_tasks: int) -> list[Report]:
        """What is said until all are answered."""
        found: list[Report] = []
        while n_tasks > 0:
            report = self.executor.receive()
            found.append(report)
            n_tasks -= len(report.done) + len(report.failed) + len(report.skipped) + sum(r.count for r in report.ranges)
        assert self.executor.counts()[0] == self.executor.counts()[1]
        return found


def done(reports: list[Report]) -> dict[int, TaskDone]:
    return {one.task: one for report in reports for one in report.done}


def skipped(reports: list[Report]) -> list[int]:
    return [one.task for report in reports for one in report.skipped]


def values(reports: list[Report]) -> dict[int, object]:
    return {task: pickle.loads(one.outputs[0].data or b"") for task, one in done(reports).items()}


def test_a_chain_passes_its_values_on(bench):
    batch = Batch(bench, plus_one())
    chain = [batch.task(1, inline_input(90, pickle.dumps(10), "pickle"))]
    chain += [batch.task(number, made_here(number - 1)) for number in range(2, 6)]
    assert values(batch.run(*chain, inner=(1, 2, 3, 4))) == {1: 11, 2: 12, 3: 13, 4: 14, 5: 15}


def test_results_of_a_range_are_read_by_tasks_after_it(bench):
    batch = Batch(bench, python_spec(lambda *values: sum(values), outputs=PICKLED, config=VALUES))
    ranged = batch.tasks(10, *(call_args(value) for value in range(20)))
    last = batch.task(40, *(made_here(obj) for obj in range(10, 30)))
    batch.send(ranged, last, inner=tuple(range(10, 30)))
    assert values(batch.reports(21))[40] == sum(range(20))


def test_large_results_are_read_from_their_files(bench):
    batch = Batch(bench, python_spec(lambda given: b"x" + given.get_bytes(), config=RAW))
    data = bytes(MAX_PIPE_RESULT)
    reports = batch.run(batch.task(201, inline_input(90, data)), batch.task(202, made_here(201)), inner=(201,))
    assert done(reports)[202].outputs[0].size == len(data) + 2
    assert {"s7.o201", "s7.o202"} <= bench.stored_names()


def test_what_is_passed_on_keeps_its_bytes_and_its_type(bench):
    batch = Batch(bench, python_spec(lambda given: given, config=RAW))
    chain = [batch.task(1, inline_input(90, b"abc", "text")), *(batch.task(n, made_here(n - 1)) for n in (2, 3))]
    ends = done(batch.run(*chain, inner=(1, 2)))
    assert [ends[task].outputs[0].same_as_input for task in (1, 2, 3)] == [0, 0, 0]
    seen = Batch(bench, python_spec(lambda given: str(given.content_type).encode(), config=RAW))
    through = Batch(bench, python_spec(lambda given: given, config=RAW))
    through.send(through.task(4, inline_input(90, b"abc", "text")), inner=(4,), goes_on=True)
    seen.send(seen.task(5, made_here(4)), inner=(4,))
    assert done(through.reports(2))[5].outputs[0].data == b"text"


def test_a_file_that_is_passed_on_is_left_to_the_worker(bench):
    batch = Batch(bench, python_spec(lambda given: given, config=RAW))
    large = bench.stored_input(300, bytes(MAX_PIPE_RESULT + 1))
    chain = [batch.task(301, large), batch.task(302, made_here(301)), batch.task(303, made_here(302))]
    reports = batch.run(*chain, inner=(301, 302))
    assert (list(done(reports)), skipped(reports)) == ([301], [302, 303])


def test_tasks_that_depend_on_a_failed_one_are_skipped_and_said_so_together_with_it(bench):
    batch = Batch(bench, plus_one())
    good = inline_input(90, pickle.dumps(1), "pickle")
    bad = inline_input(91, pickle.dumps("word"), "pickle")
    tasks = [batch.task(1, bad), batch.task(2, good), batch.task(3, made_here(1)), batch.task(4, made_here(3))]
    reports = batch.run(*tasks, batch.task(5, made_here(2)), inner=(1, 2, 3))
    [first] = [report for report in reports if report.failed]
    assert ([one.task for one in first.failed], [one.task for one in first.skipped]) == ([1], [3, 4])
    assert values(reports) == {2: 2, 5: 3}


def test_a_failed_task_of_a_range_has_its_readers_skipped(bench):
    batch = Batch(bench, python_spec(lambda value: 10 // value, outputs=PICKLED, config=VALUES))
    ranged = batch.tasks(10, *(call_args(value) for value in (1, 2, 5, 0, 1)))
    batch.send(ranged, batch.task(40, made_here(13)), batch.task(41, made_here(12)), inner=(12, 13))
    reports = batch.reports(7)
    assert skipped(reports) == [40]
    assert values(reports)[41] == 5


def test_a_batch_in_several_messages_is_one(bench):
    batch = Batch(bench, plus_one())
    good, bad = (inline_input(90, pickle.dumps(value), "pickle") for value in (1, "word"))
    batch.send(batch.task(1, good), batch.task(2, bad), inner=(1, 2), goes_on=True)
    batch.send(batch.task(3, made_here(1)), batch.task(4, made_here(2)), inner=(1, 2))
    reports = batch.reports(4)
    assert values(reports) == {1: 2, 3: 3}
    assert skipped(reports) == [4]


@pytest.mark.parametrize("encoding", [None, "json"])
def test_attachments_and_types_reach_readers_in_the_same_batch(bench, encoding):
    outputs = ONE_OUTPUT if encoding is None else (OutputSpec(encode=encoding),)

    def makes(given):
        instance = type(given)(b"1", content_type=encoding)
        instance.info.user = {"deep": [1]}
        return instance

    maker = Batch(bench, python_spec(makes, outputs=outputs, config=RAW))
    maker.send(maker.task(1, inline_input(90, b"")), inner=(1,), goes_on=True)
    reader = Batch(
        bench, python_spec(lambda given: repr((given.content_type, dict(given.info.user))).encode(), config=RAW)
    )
    reader.send(reader.task(2, made_here(1)), inner=(1,))
    found = done(maker.reports(2))[2].outputs[0].data
    assert found == repr((encoding, {"deep": [1]})).encode()
