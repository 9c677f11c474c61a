"""Neighbouring tasks that run in one go: each of them is what it would be alone."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
from dataclasses import dataclass, field
from pathlib import Path

from rain.core.errors import RainException
from rain.core.kinds import PythonConfig
from rain.core.spec import OutputSpec
from rain.protocol.columns import pack, unpack
from rain.protocol.executor import MAX_PIPE_RESULT, Produced, RangeDone, RunRange, TaskDone, TaskFailed
from tests.unit.executor.forkserver_bench import ONE_OUTPUT, ForkserverBench, call_args, python_spec

PLAIN = PythonConfig(with_context=False, load_inputs=True)
PICKLED = (OutputSpec(encode="pickle"),)
FIRST, N = 500, 40


@dataclass
class Outcome:
    """What became of the tasks of a range, by position."""

    values: dict[int, bytes] = field(default_factory=dict)
    types: set[str | None] = field(default_factory=set)
    single: dict[int, TaskDone] = field(default_factory=dict)
    failed: dict[int, TaskFailed] = field(default_factory=dict)
    ranges: list[RangeDone] = field(default_factory=list)

    def take(self, done: RangeDone) -> None:
        self.ranges.append(done)
        at = 0
        for position, size in enumerate(unpack("Q", done.size, "size"), done.task - FIRST):
            self.values[position] = bytes(done.data[at : at + size])
            at += size
        assert len(unpack("I", done.duration_us, "duration_us")) == done.count


def a_range(args: list[bytes]) -> RunRange:
    return RunRange(FIRST, len(args), 0, 0, 2000, pack("I", map(len, args)), b"".join(args))


def run(bench: ForkserverBench, function, *, outputs=PICKLED, config=PLAIN, args=None) -> Outcome:
    """Calls the function with the position of each task."""
    args = args or [call_args(position) for position in range(N)]
    count = len(args)
    bench.n_tasks += 1
    executor = bench.send(python_spec(function, outputs=outputs, config=config), a_range(args))
    outcome = Outcome()
    n_ended = 0
    while n_ended < count:
        report = executor.receive()
        for done in report.ranges:
            outcome.take(done)
            outcome.types.add(done.content_type)
            n_ended += done.count
        for one in report.done:
            outcome.single[one.task - FIRST] = one
            for produced in one.outputs:
                outcome.values[one.task - FIRST] = produced.data or b""
                outcome.types.add(produced.content_type)
        outcome.failed.update({failed.task - FIRST: failed for failed in report.failed})
        n_ended += len(report.done) + len(report.failed)
    assert executor.counts()[0] == executor.counts()[1]
    return outcome


def notes(outcome: Outcome) -> dict[int, tuple[str, str]]:
    ended = [*outcome.single.items(), *outcome.failed.items()]
    return {position: (one.note.stdout, one.note.stderr) for position, one in ended if one.note is not None}


def test_most_results_of_neighbours_are_reported_as_columns(bench):
    outcome = run(bench, lambda value: value * 2)
    assert [pickle.loads(outcome.values[position]) for position in range(N)] == [2 * value for value in range(N)]
    assert outcome.types == {"pickle"}
    assert sum(done.count for done in outcome.ranges) >= N - 5


def test_tasks_that_return_bytes_or_nothing_are_reported_as_columns(bench):
    outcome = run(bench, lambda value: b"x" * value, outputs=ONE_OUTPUT)
    assert [outcome.values[position] for position in range(N)] == [b"x" * value for value in range(N)]
    assert outcome.types == {None}
    outcome = run(bench, lambda value: None, outputs=())
    assert (outcome.values, outcome.failed) == ({}, {})
    assert sum(done.count for done in outcome.ranges) + len(outcome.single) == N


def test_results_that_are_not_ordinary_are_reported_one_by_one(bench):
    def mixed(value):
        return {7: "text", 8: bytes(MAX_PIPE_RESULT + 1)}.get(value, b"")

    outcome = run(bench, mixed, outputs=ONE_OUTPUT)
    assert outcome.single[7].outputs == (Produced(4, "text", b"text"),)
    assert outcome.single[8].outputs == (Produced(MAX_PIPE_RESULT + 1, None, None),)
    large = bench.root / "store" / f"s7.o{2000 + 8}"
    assert large.stat().st_size == MAX_PIPE_RESULT + 1


def test_one_that_raises_fails_alone(bench):
    def picky(value):
        if value in {5, 6, 20}:
            raise ValueError(f"not {value}")
        return value

    outcome = run(bench, picky)
    assert set(outcome.failed) == {5, 6, 20}
    assert "ValueError: not 20" in outcome.failed[20].failure.message
    assert set(outcome.values) == set(range(N)) - {5, 6, 20}


def test_what_cannot_be_encoded_fails_with_what_is_wrong(bench):
    outcome = run(bench, lambda value: (lambda: 0) if value == 9 else value)
    assert set(outcome.failed) == {9}
    assert "cannot be encoded as 'pickle'" in outcome.failed[9].failure.message


def test_arguments_that_cannot_be_unpickled_fail_with_what_is_wrong(bench):
    args = [call_args(position) for position in range(N)]
    args[9] = b"no pickle"
    outcome = run(bench, lambda value: value, args=args)
    assert set(outcome.failed) == {9}
    assert "were unpickled on the worker" in outcome.failed[9].failure.traceback
    assert pickle.loads(outcome.values[10]) == 10


def test_what_is_printed_belongs_to_the_task_that_printed_it(bench):
    def talkative(value):
        if value % 10 == 3:
            print(f"I am {value}")
        if value % 10 == 4:
            os.write(2, b"me %d" % value)
        if value % 10 == 5:
            ctypes.CDLL(None).system(b"echo from a child %d" % value)
        return value

    outcome = run(bench, talkative)
    assert notes(outcome) == {
        **{value: (f"I am {value}\n", "") for value in range(3, N, 10)},
        **{value: ("", f"me {value}") for value in range(4, N, 10)},
        **{value: (f"from a child {value}\n", "") for value in range(5, N, 10)},
    }
    assert [pickle.loads(outcome.values[position]) for position in range(N)] == list(range(N))


def test_every_task_finds_its_folder_empty(bench):
    def untidy(value):
        found = list(Path.cwd().iterdir())
        if value % 7 == 0:
            Path("left").write_text("x")
        if value % 7 == 1:
            Path("folder").mkdir()
            Path("folder/inside").touch()
        if value % 7 == 2:
            Path.cwd().rmdir()
        return found

    outcome = run(bench, untidy)
    assert outcome.failed == {}
    assert [pickle.loads(outcome.values[position]) for position in range(N)] == [[]] * N


def test_every_task_starts_in_the_same_folder_with_the_same_umask(bench):
    def mover(value):
        umask = os.umask(0)
        here = Path.cwd()
        if value % 5 == 0:
            os.chdir("/")
        return here, umask

    outcome = run(bench, mover)
    assert len({outcome.values[position] for position in range(N)}) == 1


def test_a_context_knows_which_task_of_the_range_runs(bench):
    def with_context(ctx, value):
        if value % 10 == 1:
            ctx.debug("I am {}", value)
        if value % 10 == 2:
            Path("made").write_bytes(b"y" * 3)
            return ctx.stage_file("made")
        return f"{ctx.spec.id} {value}".encode()

    outcome = run(bench, with_context, outputs=ONE_OUTPUT, config=PythonConfig())
    assert outcome.failed == {}
    for position in range(N):
        expected = b"yyy" if position % 10 == 2 else f"s7.t{FIRST + position} {position}".encode()
        assert outcome.values[position] == expected
    said = {position: one.note.debug for position, one in outcome.single.items() if one.note is not None}
    assert said == {position: f"I am {position}" for position in range(1, N, 10)}


def test_a_forked_child_that_comes_back_does_not_report(bench):
    def forking(value):
        if value == 11:
            child = os.fork()
            if child:
                os.waitpid(child, 0)
        return value

    outcome = run(bench, forking)
    assert [pickle.loads(outcome.values[position]) for position in range(N)] == list(range(N))
    assert len(outcome.single) + sum(done.count for done in outcome.ranges) == N


def test_the_counts_say_which_task_ran_when_the_process_died(own_bench):
    def deadly(value):
        if value == 23:
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    given = a_range([call_args(position) for position in range(N)])
    executor = own_bench.send(python_spec(deadly, outputs=PICKLED, config=PLAIN), given)
    while executor.pipe.recv() is not None:
        pass
    assert executor.counts() == (24, 23)


def test_a_function_that_cannot_be_loaded_fails_every_task(bench):
    class Unloadable:
        __name__ = "unloadable"

        def __reduce__(self):
            return _refuse, ()

    outcome = run(bench, Unloadable(), args=[call_args(position) for position in range(5)])
    assert set(outcome.failed) == set(range(5))
    assert "is everything it imports installed there?" in outcome.failed[4].failure.traceback


def _refuse():
    raise RainException("not here")


def test_results_do_not_wait_for_a_task_that_is_slow_as_the_one_before(bench):
    def slow(value):
        import time

        time.sleep(0.003)
        return value

    outcome = run(bench, slow, args=[call_args(position) for position in range(8)])
    assert all(done.count == 1 for done in outcome.ranges)
