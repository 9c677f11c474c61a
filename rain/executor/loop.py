"""The loop of an executor: batches of tasks in, reports out. Every task is answered, whatever it does."""

from __future__ import annotations

import os
import time
from array import array
from itertools import accumulate
from typing import assert_never

import msgspec
from msgspec.structs import replace

from rain.core.failure import Cause, Failure
from rain.core.ids import object_name, task_name
from rain.core.kinds import Kind
from rain.core.note import TaskNote
from rain.data.exceptions import failure_of, plain_text
from rain.executor.attempt_failed import AttemptFailed, NoRoom, is_full, is_no_room
from rain.executor.inner_results import InnerResults
from rain.executor.kinds import RUNNERS
from rain.executor.outcomes import FLUSH_BYTES, FLUSH_NS, QUICK_FLUSH_NS, Outcomes
from rain.executor.process_name import IDLE, ProcessName
from rain.executor.pyfunc import PythonRunner
from rain.executor.quick_calls import QuickCalls
from rain.executor.runner import Notes, Runner, Surroundings
from rain.executor.stretch import OddEnd, StretchLimits, run_stretch
from rain.protocol.codec import encode
from rain.protocol.columns import unpack
from rain.protocol.executor import (
    MAX_PIPE_RESULT,
    ForgetSession,
    Produced,
    Ready,
    Run,
    RunRange,
    RunSpec,
    RunTask,
    to_executor_decoder,
)
from rain.wire.pipe import BlockingPipe

#: So many tasks of a function that was slow once are taken to be slow, too; twice as many when one of them was, but
#: not more than the other number. (Any task may seem slow once, when others have the cpu.)
_WARY_TASKS = 2
_MAX_WARY_TASKS = 64


_NOTHING = TaskNote()


class _Entry:
    """A spec of a session."""

    __slots__ = ("_caution", "n_outputs", "runner", "wary")

    def __init__(self, runner: Runner, n_outputs: int) -> None:
        self.runner = runner
        self.n_outputs = n_outputs
        #: So many tasks are taken to be slow: results that wait go out before them.
        self.wary = 1
        self._caution = _WARY_TASKS

    def learn(self, spent_ns: int) -> None:
        """How long a task took."""
        if spent_ns >= FLUSH_NS or self.runner.slow:
            self.wary = self._caution
            self._caution = min(2 * self._caution, _MAX_WARY_TASKS)
        elif self.wary:
            self.wary -= 1
        else:
            self._caution = _WARY_TASKS


class ExecutorLoop:
    """Runs what the worker sends, one task at a time, until the worker closes the pipe."""

    def __init__(self, pipe: BlockingPipe, counts: memoryview, surroundings: Surroundings) -> None:
        """`counts` are two u64 that the worker sees: tasks begun and tasks ended."""
        self._pipe = pipe
        self._counts = counts
        self._surroundings = surroundings
        self._specs: dict[int, dict[int, _Entry]] = {}
        self._session = 0
        self._outcomes = Outcomes(surroundings.outlet)
        self._inner = InnerResults()
        self._pid = os.getpid()
        self._name = ProcessName()

    def run(self) -> None:
        """Returns when the worker is gone."""
        self._pipe.send(encode(Ready(self._pid)))
        while (data := self._pipe.recv()) is not None:
            message = to_executor_decoder.decode(data)
            if isinstance(message, Run):
                self._run_batch(message)
            elif isinstance(message, ForgetSession):
                self._specs.pop(message.session, None)
            else:
                assert_never(message)

    def _run_batch(self, batch: Run) -> None:
        self._session = batch.session
        specs = self._specs.setdefault(batch.session, {})
        for given in batch.specs:
            specs[given.number] = _Entry(self._runner(batch.session, given), len(given.spec.outputs))
        self._surroundings.output.take()
        # Tasks that travel together are too short for anybody to see them run.
        is_seen = len(batch.tasks) == 1 and isinstance(batch.tasks[0], RunTask)
        if is_seen:
            self._name.show(task_name(batch.session, batch.tasks[0].task))
        self._outcomes.begin(batch.session, time.perf_counter_ns())
        n_outputs = {number: entry.n_outputs for number, entry in specs.items()} if batch.inner else {}
        self._skip(self._inner.begin(batch, n_outputs))
        for each in batch.tasks:
            if isinstance(each, RunRange):
                self._run_range(specs[each.spec], each)
            elif (task := self._inner.complete(each)) is not None:
                self._run_task(specs[each.spec], task)
        self._inner.end(batch)
        if is_seen:
            self._name.show(IDLE)
        self._outcomes.flush(time.perf_counter_ns())

    def _skip(self, tasks: list[RunTask]) -> None:
        """Reports at once that these cannot run: before the server, told why, has what waits for the same stopped."""
        if not tasks:
            return
        for task in tasks:
            self._outcomes.skipped(task)
        # The worker takes every task that it hears of for one that had begun.
        self._counts[0] += len(tasks)
        self._counts[1] += len(tasks)
        self._outcomes.flush(time.perf_counter_ns())

    def _run_range(self, entry: _Entry, given: RunRange) -> None:
        """Runs its tasks like any others, and in stretches of many where that can be."""
        sizes = unpack("I", given.args_size, "args_size", given.count)
        ends = array("Q", accumulate(sizes, initial=0))
        quick = entry.runner if isinstance(entry.runner, PythonRunner) and entry.runner.may_be_quick(given) else None
        position = 0
        while position < given.count:
            calls = quick.calls(given, position) if quick is not None and not entry.wary else None
            if calls is not None:
                position += self._run_stretch(entry, given, calls, ends, position)
            else:
                args = given.args[ends[position] : ends[position + 1]]
                self._run_task(entry, given.single(position, args, entry.n_outputs))
                position += 1

    def _run_stretch(self, entry: _Entry, given: RunRange, calls: QuickCalls, ends: array[int], start: int) -> int:
        """Runs some tasks of a range from `start` on; how many."""
        outcomes, surroundings = self._outcomes, self._surroundings
        surroundings.traces.clear()
        limits = StretchLimits(outcomes.flushed_ns + QUICK_FLUSH_NS, FLUSH_BYTES)
        times, results, odd = run_stretch(calls, (given.args, ends, start), self._counts, surroundings.traces, limits)
        self._exit_if_forked()
        surroundings.folder.restore()
        n_ordinary = len(results)
        if n_ordinary:
            first = given.single(start, b"", entry.n_outputs)
            ordinary = times[: n_ordinary + 1]
            outcomes.range_done(first, ordinary, results, entry.n_outputs, calls.content_type)
            if entry.n_outputs:
                self._inner.keep_bytes(first.first_output, results, calls.content_type)
            entry.learn(ordinary[-1] - ordinary[-2])
        if odd is None:
            outcomes.flush_if_due(times[-1])
            return n_ordinary
        task = given.single(start + n_ordinary, b"", entry.n_outputs)
        self._end_oddly(entry, task, times[-1] - times[-2], odd, calls.content_type)
        return n_ordinary + 1

    def _end_oddly(self, entry: _Entry, task: RunTask, spent_ns: int, end: OddEnd, content_type: str | None) -> None:
        outputs, error = None, end.error
        self._surroundings.store.begin()
        if error is None and end.data is not None and len(end.data) <= MAX_PIPE_RESULT:
            outputs = (Produced(len(end.data), content_type, end.data),) * entry.n_outputs
        elif error is None and isinstance(entry.runner, PythonRunner):
            try:
                outputs = entry.runner.collect(task, end.result)
            # Encoders run the user's code, too.
            except BaseException as raised:
                error = raised
        self._end_task(entry, task, spent_ns, outputs, error)

    def _run_task(self, entry: _Entry, task: RunTask) -> None:
        counts = self._counts
        began_ns = time.perf_counter_ns()
        if entry.wary and self._outcomes.any:
            self._outcomes.flush(began_ns)
        self._surroundings.store.begin()
        counts[0] += 1
        outputs, error = None, None
        try:
            outputs = entry.runner.run(task)
        # The user's code: SystemExit, KeyboardInterrupt and whatever else it raises fail this task only.
        except BaseException as raised:
            error = raised
        spent_ns = time.perf_counter_ns() - began_ns
        counts[1] += 1
        self._exit_if_forked()
        self._end_task(entry, task, spent_ns, outputs, error)

    def _end_task(
        self,
        entry: _Entry,
        task: RunTask,
        spent_ns: int,
        outputs: tuple[Produced, ...] | None,
        error: BaseException | None,
    ) -> None:
        runner = entry.runner
        failure = None if error is None else self._failure(error, runner, task)
        printed = self._surroundings.output.take()
        note = None if printed is None and runner.notes is None else _note(runner, printed)
        if outputs is not None:
            self._outcomes.done(task, spent_ns, outputs, note)
        elif failure is not None:
            self._surroundings.store.discard()
            self._outcomes.failed(task, spent_ns, failure, note)
        self._skip(self._inner.keep(task, outputs, self._path))
        entry.learn(spent_ns)
        self._outcomes.flush_if_due(time.perf_counter_ns())

    def _path(self, obj: int) -> str:
        return self._surroundings.store.path(self._session, obj)

    def _exit_if_forked(self) -> None:
        """Ends a child that a task forked and that came back here: only its parent may report."""
        if os.getpid() != self._pid:
            os._exit(1)

    def _runner(self, session: int, given: RunSpec) -> Runner:
        try:
            return RUNNERS[Kind(given.spec.kind)](session, given.spec, self._surroundings)
        # A kind or settings of another version: the tasks fail, the executor lives.
        except (ValueError, msgspec.MsgspecError) as error:
            return _Refusing(f"this worker cannot run tasks of kind '{given.spec.kind}': {error}")

    def _failure(self, error: BaseException, runner: Runner, task: RunTask) -> Failure:
        debug = runner.notes.debug if runner.notes is not None else ""
        if isinstance(error, AttemptFailed):
            cause = Cause.ROOM if self._is_for_want_of_room(error) else Cause.TASK
            return Failure(cause=cause, message=plain_text(str(error)), stderr=error.stderr, debug=debug)
        for given in task.inputs:
            if given.path is not None and not os.path.exists(given.path):
                # Another task spoilt it, so it was removed: this one is not to blame.
                text = f"{object_name(self._session, given.object)}, an input, is not on the worker any more."
                return Failure(cause=Cause.INPUT, message=text, debug=debug)
        failure = failure_of(error, stderr=self._surroundings.output.error_tail(), debug=debug)
        return replace(failure, cause=Cause.ROOM) if self._is_for_want_of_room(error) else failure

    def _is_for_want_of_room(self, error: BaseException) -> bool:
        """Whether another worker may succeed; a task may as well have written elsewhere, to a disk that is full."""
        if isinstance(error, NoRoom):
            return True
        return (is_no_room(error) or is_no_room(error.__cause__)) and is_full(self._surroundings.scratch)


def _note(runner: Runner, printed: tuple[str, str] | None) -> TaskNote | None:
    """What the task that ended leaves to be read, None for nothing."""
    notes, runner.notes = runner.notes or Notes(), None
    stdout, stderr = printed or ("", "")
    note = TaskNote(notes.debug, notes.user, stdout + notes.stdout, stderr + notes.stderr, notes.progress)
    return note if note != _NOTHING else None


class _Refusing:
    """Fails every task of a spec that cannot be run."""

    slow = False

    def __init__(self, reason: str) -> None:
        self._reason = reason
        self.notes: Notes | None = None

    def run(self, task: RunTask) -> tuple[Produced, ...]:
        """Raises AttemptFailed."""
        raise AttemptFailed(self._reason)
