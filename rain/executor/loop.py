"""The loop of an executor: batches of tasks in, reports out. Every task is answered, whatever it does."""

from __future__ import annotations

import os
import time
from typing import assert_never

import msgspec

from rain.core.failure import Cause, Failure
from rain.core.ids import object_name
from rain.core.kinds import Kind
from rain.core.note import TaskNote
from rain.data.exceptions import failure_of, plain_text
from rain.executor.attempt_failed import AttemptFailed
from rain.executor.kinds import RUNNERS
from rain.executor.runner import Notes, Runner, Surroundings
from rain.protocol.codec import encode
from rain.protocol.executor import (
    ForgetSession,
    Produced,
    Ready,
    Report,
    Run,
    RunSpec,
    RunTask,
    TaskDone,
    TaskFailed,
    to_executor_decoder,
)
from rain.wire.pipe import BlockingPipe

#: Results wait at most this long for others to travel with, unless a task of a kind or function that was quick so far
#: turns out slow.
FLUSH_NS = 1_000_000
FLUSH_BYTES = 256 << 10


#: So many tasks of a function that was slow once are taken to be slow, too.
_WARY_TASKS = 64


class _Entry:
    """A spec of a session."""

    __slots__ = ("runner", "wary")

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        #: So many tasks are taken to be slow: results that wait go out before them.
        self.wary = 1

    def learn(self, spent_ns: int) -> None:
        """How long a task took."""
        if spent_ns >= FLUSH_NS or self.runner.slow:
            self.wary = _WARY_TASKS
        elif self.wary:
            self.wary -= 1


class ExecutorLoop:
    """Runs what the worker sends, one task at a time, until the worker closes the pipe."""

    def __init__(self, pipe: BlockingPipe, counts: memoryview, surroundings: Surroundings) -> None:
        """`counts` are two u64 that the worker sees: tasks begun and tasks ended."""
        self._pipe = pipe
        self._counts = counts
        self._surroundings = surroundings
        self._specs: dict[int, dict[int, _Entry]] = {}
        self._session = 0
        self._done: list[TaskDone] = []
        self._failed: list[TaskFailed] = []
        self._waiting_bytes = 0
        self._flushed_ns = 0
        self._pid = os.getpid()

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
            specs[given.number] = _Entry(self._runner(batch.session, given))
        self._surroundings.output.take()
        self._flushed_ns = time.perf_counter_ns()
        for task in batch.tasks:
            entry = specs[task.spec]
            if entry.wary and (self._done or self._failed):
                self._flush(time.perf_counter_ns())
            self._run_task(entry, task)
        self._flush(time.perf_counter_ns())

    def _run_task(self, entry: _Entry, task: RunTask) -> None:
        surroundings, counts, runner = self._surroundings, self._counts, entry.runner
        surroundings.store.begin()
        counts[0] += 1
        began = time.perf_counter_ns()
        failure = outputs = None
        try:
            outputs = runner.run(task)
        # The user's code: SystemExit, KeyboardInterrupt and whatever else it raises fail this task only.
        except BaseException as error:
            failure = self._failure(error, runner, task)
        ended = time.perf_counter_ns()
        counts[1] += 1
        if os.getpid() != self._pid:
            os._exit(1)  # A child that the task forked came back here; only its parent may report.
        spent_ns = ended - began
        printed = surroundings.output.take()
        note = None if printed is None and runner.notes is None else self._note(runner, printed)
        if outputs is not None:
            self._done.append(TaskDone(task.task, task.attempt, spent_ns // 1000, outputs, note))
            for produced in outputs:
                if produced.data:
                    self._waiting_bytes += produced.size
        elif failure is not None:
            surroundings.store.discard()
            self._failed.append(TaskFailed(task.task, task.attempt, spent_ns // 1000, failure, note))
        entry.learn(spent_ns)
        if ended - self._flushed_ns >= FLUSH_NS or self._waiting_bytes > FLUSH_BYTES:
            self._flush(ended)

    def _note(self, runner: Runner, printed: tuple[str, str] | None) -> TaskNote | None:
        """What the task that ended leaves to be read, None for nothing."""
        notes, runner.notes = runner.notes or Notes(), None
        stdout, stderr = printed or ("", "")
        note = TaskNote(notes.debug, notes.user, stdout + notes.stdout, stderr + notes.stderr)
        self._waiting_bytes += len(note.debug) + len(note.user) + len(note.stdout) + len(note.stderr)
        return note if any((note.debug, note.user, note.stdout, note.stderr)) else None

    def _flush(self, now_ns: int) -> None:
        self._flushed_ns = now_ns
        if self._done or self._failed:
            self._pipe.send(encode(Report(self._session, tuple(self._done), tuple(self._failed))))
            self._done.clear()
            self._failed.clear()
            self._waiting_bytes = 0

    def _runner(self, session: int, given: RunSpec) -> Runner:
        try:
            return RUNNERS[Kind(given.spec.kind)](session, given.spec, self._surroundings)
        # A kind or settings of another version: the tasks fail, the executor lives.
        except (ValueError, msgspec.MsgspecError) as error:
            return _Refusing(f"this worker cannot run tasks of kind '{given.spec.kind}': {error}")

    def _failure(self, error: BaseException, runner: Runner, task: RunTask) -> Failure:
        debug = runner.notes.debug if runner.notes is not None else ""
        if isinstance(error, AttemptFailed):
            return Failure(cause=Cause.TASK, message=plain_text(str(error)), stderr=error.stderr, debug=debug)
        for given in task.inputs:
            if given.path is not None and not os.path.exists(given.path):
                # Another task spoilt it, so it was removed: this one is not to blame.
                text = f"{object_name(self._session, given.object)}, an input, is not on the worker any more."
                return Failure(cause=Cause.INPUT, message=text, debug=debug)
        return failure_of(error, stderr=self._surroundings.output.error_tail(), debug=debug)


class _Refusing:
    """Fails every task of a spec that cannot be run."""

    slow = False

    def __init__(self, reason: str) -> None:
        self._reason = reason
        self.notes: Notes | None = None

    def run(self, task: RunTask) -> tuple[Produced, ...]:
        """Raises AttemptFailed."""
        raise AttemptFailed(self._reason)
