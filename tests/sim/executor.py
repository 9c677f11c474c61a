"""A model of an executor process: runs batches, writes large results itself, dies when asked or by chance."""

from __future__ import annotations

from collections import deque
from itertools import groupby
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rain.core.errors import InvariantViolation
from rain.core.failure import Cause, Failure
from rain.core.ids import object_name, task_name
from rain.core.note import TaskNote, TaskProgress
from rain.protocol.columns import pack, unpack
from rain.protocol.executor import MAX_PIPE_RESULT, Produced, RangeDone, TaskDone, TaskFailed, TaskSkipped
from rain.worker.machine.effects import QueuedRun, RunBatch
from rain.worker.machine.events import ExecutorEnded, ExecutorProgressed, ExecutorReady, ExecutorReported
from tests.sim.timeline import Link
from tests.sim.workload import Blob, Graph, PlannedTask

if TYPE_CHECKING:
    from tests.sim.worker import ModelWorker

#: A report waits for company this long.
HOLD_BACK_S = 0.001


class ModelExecutor:
    """One executor of one worker."""

    def __init__(self, worker: ModelWorker, number: int) -> None:
        self.number = number
        self.is_alive = True
        self.n_started = 0
        self.specs: dict[int, set[int]] = {}
        self._worker = worker
        self._world = worker.world
        self._queue: deque[tuple[int, QueuedRun]] = deque()
        #: Of tasks that wait: what each reads of others of its batch is taken from there, None where they left nothing.
        self._inner: dict[tuple[int, int], Blob | None] = {}
        #: By session and task, the first task of the run in which it was given.
        self._given_in: dict[tuple[int, int], int] = {}
        self._is_busy = False
        self._ended: list[tuple[int, TaskDone | TaskFailed | TaskSkipped]] = []
        self._reported_at = 0.0
        #: Blobs that are small enough for the pipe, of what is not reported yet.
        self.results: dict[tuple[int, int], Blob] = {}
        self._pipe: Link[object] = Link(self._world.timeline, self._world.random, 1e-4, worker.local)
        self._world.timeline.after(self._world.random.uniform(0.005, 0.1), self._start)

    def _start(self) -> None:
        world = self._world
        if not self.is_alive:
            return
        if not world.healed and world.random.random() < world.faults.dead_on_start:
            self.die(exit_code=1, signal=None)
            return
        self._pipe.send(ExecutorReady(self.number))

    def give(self, batch: RunBatch) -> None:
        """The worker's `Run` is on its way."""
        known = self.specs.setdefault(batch.session, set())
        known.update(number for number, _ in batch.new_specs)
        for task in batch.runs:
            if task.spec not in known:
                raise InvariantViolation(f"executor {self.number} was never told spec {task.spec} of s{batch.session}")
        self._world.timeline.after(1e-4, lambda: self._receive(batch))

    def die(self, *, exit_code: int | None, signal: int | None) -> None:
        """The process ends; what it did not report is lost."""
        if self.is_alive:
            self.is_alive = False
            self._pipe.send(ExecutorEnded(self.number, exit_code, signal, self.n_started, "oh"))

    def _receive(self, batch: RunBatch) -> None:
        if self.is_alive:
            for run in batch.runs:
                self._queue.extend((batch.session, task) for task in _singles(run))
                self._given_in.update({(batch.session, run.task + at): run.task for at in range(run.count)})
            self._next()

    def _next(self) -> None:
        if self._is_busy or not self.is_alive:
            return
        if not self._queue:
            self._flush()
            return
        session, task = self._queue.popleft()
        if self._ended and self._ended[0][0] != session:
            self._flush()
        self.n_started += 1
        if any(self._inner[session, obj] is None for obj in task.inner):
            self._inner.update({(session, task.first_output + at): None for at in range(task.n_outputs)})
            self._ended.append((session, TaskSkipped(task.task, task.attempt)))
            # The real one looks for them at once; it must not matter when.
            if self._world.random.random() < 0.5:
                self._flush()
            self._next()
            return
        self._is_busy = True
        graph = self._world.graphs[session]
        planned = graph.tasks[task.task]
        if task.attempt < planned.hangs_below:
            return
        inputs = [self._read(session, task, obj) for obj in task.inputs]
        if task.task % 5 < 2:
            # Those without a note are a thread's, which outlives its task.
            late_s = planned.duration_s * (0.5 if task.task % 5 == 0 else 1.5)
            self._world.timeline.after(late_s, lambda: self._say(session, task))
        if task.attempt >= planned.raises_below and planned.passes_input is None:
            blobs = graph.run(planned, bytes(task.args), inputs)
            self._world.timeline.after(0.7 * planned.duration_s, lambda: self._write(session, planned, blobs))
        self._world.timeline.after(planned.duration_s, lambda: self._end(session, graph, task, inputs))

    def _say(self, session: int, task: QueuedRun) -> None:
        if self.is_alive:
            said = TaskProgress(0.5, f"attempt {task.attempt}")
            self._pipe.send(ExecutorProgressed(self.number, session, task.task, task.attempt, said))

    def _write(self, session: int, planned: PlannedTask, blobs: list[Blob]) -> None:
        """Large results are files before their task is done."""
        if not self.is_alive:
            return
        for obj, blob in zip(planned.outputs, blobs, strict=True):
            if blob.size > MAX_PIPE_RESULT:
                self._worker.store[(session, obj)] = blob

    def _read(self, session: int, task: QueuedRun, obj: int) -> Blob:
        if obj in task.inner and (made := self._inner[session, obj]) is not None:
            return made
        blob = self._worker.store.get((session, obj))
        if blob is None:
            if self._worker.wants(session, task, self.number):
                name = object_name(session, obj)
                raise InvariantViolation(f"{task_name(session, task.task)} starts without its input {name}")
            return Blob(b"", 0)
        return blob

    def _end(self, session: int, graph: Graph, task: QueuedRun, inputs: list[Blob]) -> None:
        if not self.is_alive:
            return
        self._is_busy = False
        planned = graph.tasks[task.task]
        note = None
        if task.task % 5 == 0:
            note = TaskNote(stdout=f"attempt {task.attempt}", progress=TaskProgress(1.0))
        duration_us = int(planned.duration_s * 1e6)
        if task.attempt < planned.raises_below:
            failure = Failure(cause=Cause.TASK, message="ValueError: as planned")
            self._ended.append((session, TaskFailed(task.task, task.attempt, duration_us, failure, note)))
            self._inner.update({(session, obj): None for obj in planned.outputs})
        else:
            blobs = graph.run(planned, bytes(task.args), inputs)
            for obj, blob in zip(planned.outputs, blobs, strict=True):
                if blob.size <= MAX_PIPE_RESULT or planned.passes_input is not None:
                    self.results[(session, obj)] = blob
                # A file that was passed on cannot be read here.
                is_file = planned.passes_input is not None and blob.size > MAX_PIPE_RESULT
                self._inner[session, obj] = None if is_file else blob
            produced = tuple(Produced(size=blob.size, same_as_input=planned.passes_input) for blob in blobs)
            self._ended.append((session, TaskDone(task.task, task.attempt, duration_us, produced, note)))
        if self._world.timeline.now - self._reported_at > HOLD_BACK_S:
            self._flush()
        self._next()

    def _flush(self) -> None:
        if not self._ended:
            return
        self._reported_at = self._world.timeline.now
        session = self._ended[0][0]
        done = [each for _, each in self._ended if isinstance(each, TaskDone)]
        failed = tuple(each for _, each in self._ended if isinstance(each, TaskFailed))
        skipped = tuple(each for _, each in self._ended if isinstance(each, TaskSkipped))
        self._ended.clear()
        ranges = self._joined(session, done) if self._world.random.random() < 0.8 else ()
        self._pipe.send(ExecutorReported(self.number, session, tuple(done), failed, ranges, skipped))

    def _joined(self, session: int, done: list[TaskDone]) -> tuple[RangeDone, ...]:
        """Neighbours of one run with small results as ranges, taken out of what is done."""
        plain = [each for each in done if each.note is None and all(map(_is_plain, each.outputs))]
        ranges = []
        origins = [(self._given_in[session, each.task], each.task - place) for place, each in enumerate(plain)]
        for _, group in groupby(zip(origins, plain, strict=True), lambda pair: pair[0]):
            tasks = [each for _, each in group]
            if len(tasks) == 1:
                continue
            for each in tasks:
                done.remove(each)
            durations = pack("I", [each.duration_us for each in tasks])
            sizes = pack("Q", [output.size for each in tasks for output in each.outputs])
            ranges.append(RangeDone(tasks[0].task, len(tasks), tasks[0].attempt, durations, sizes))
        return tuple(ranges)


def _singles(run: QueuedRun) -> list[QueuedRun]:
    """The tasks of a run one by one."""
    if run.count == 1:
        return [run]
    tasks, at = [], 0
    for number, size in enumerate(unpack("I", run.args_size, "args_size", run.count)):
        first_output = run.first_output + number * run.n_outputs
        args = run.args[at : at + size]
        tasks.append(replace(run, task=run.task + number, first_output=first_output, args=args, count=1))
        at += size
    if at != len(run.args) or len(tasks) != run.count:
        raise InvariantViolation(f"{run} does not add up")
    return tasks


def _is_plain(output: Produced) -> bool:
    return output.size <= MAX_PIPE_RESULT and output.same_as_input is None
