"""Batches on their way to executors and back: inputs come out of the store, results go into it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from rain.core.content import DIRECTORY
from rain.core.errors import InvariantViolation, ProtocolViolation
from rain.core.failure import Cause, Failure
from rain.core.ids import object_name, task_name
from rain.protocol.executor import (
    MAX_PIPE_RESULT,
    Produced,
    RangeDone,
    Report,
    Run,
    RunInput,
    RunRange,
    RunSpec,
    RunTask,
    TaskDone,
    TaskFailed,
)
from rain.wire.holder import Stored
from rain.worker.attached import AttachedUsers
from rain.worker.machine.effects import QueuedRun, RunBatch
from rain.worker.machine.events import ExecutorReported
from rain.worker.machine.numbers import NumberMap
from rain.worker.plausible import MAX_TYPE_LENGTH, plausible_done, plausible_failed, plausible_sizes
from rain.worker.store import ObjectStore

_log = logging.getLogger("rain.worker.batches")

#: Small inputs of one task beyond this are passed as files.
MAX_TASK_INPUT_BYTES = 8 << 20
#: A message to an executor is closed when it has grown to this.
MAX_RUN_BYTES = 8 << 20


class Batches:
    """Knows, of every task that an executor was given and did not report, where its outputs and inputs are."""

    def __init__(
        self, store: ObjectStore, on_damage: Callable[[int, list[int]], None], attached: AttachedUsers | None = None
    ) -> None:
        """`on_damage(session, objects)` hears of objects that a task spoilt for all others."""
        self._store = store
        self._attached = attached or AttachedUsers()
        self._on_damage = on_damage
        #: By executor and session.
        self._given: dict[int, dict[int, NumberMap[QueuedRun]]] = {}
        #: Inputs of tasks that did not end well: those may have changed them, or found them gone.
        self._suspicious: list[tuple[int, tuple[int, ...]]] = []

    def run(self, order: RunBatch) -> Iterator[Run]:
        """The messages that have an executor run a batch: one, unless its tasks bring very much along."""
        session = order.session
        given = self._given.setdefault(order.executor, {}).setdefault(session, NumberMap())
        specs = tuple([RunSpec(session, number, spec) for number, spec in order.new_specs])
        inner = tuple({obj: None for queued in order.runs for obj in queued.inner})
        tasks: list[RunTask | RunRange] = []
        size = 0
        last = order.runs[-1]
        for queued in order.runs:
            given.set(queued.task, queued, queued.count)
            size += len(queued.args)
            if queued.count > 1:
                tasks.append(_range(queued, order.gpus))
            else:
                inputs = self._inputs(session, queued.inputs, queued.inner)
                size += sum([each.size for each in inputs if each.data is not None])
                tasks.append(_single(queued, inputs, order.gpus))
            if size > MAX_RUN_BYTES and queued is not last:
                yield Run(session, specs, tuple(tasks), inner, goes_on=True)
                specs, tasks, size = (), [], 0
        yield Run(session, specs, tuple(tasks), inner)

    def take(self, executor: int, report: Report) -> ExecutorReported:
        """Puts the results of a report into the store; a task whose results are not there has failed.

        Raises ProtocolViolation for a range that was not given, or that contradicts itself.
        """
        given = self._given.get(executor, {}).get(report.session)
        for ended in report.ranges:
            self._keep_range(report.session, given, ended)
        done = []
        failed = list(report.failed)
        for one in report.done:
            queued = None if given is None else given.pop(one.task)
            # What was not given, the machine ignores.
            problem = None if queued is None else self._keep_results(report.session, queued, one)
            if problem is None:
                plausible = plausible_done(one)
                if queued is not None:
                    self._attached.made(report.session, _first_output(queued, one.task), plausible.outputs)
                done.append(plausible)
            else:
                debug = one.note.debug if one.note is not None else ""
                failure = Failure(cause=Cause.EXECUTOR, message=problem, debug=debug)
                failed.append(TaskFailed(one.task, one.attempt, one.duration_us, failure, one.note))
        for lost in report.failed:
            queued = None if given is None else given.pop(lost.task)
            if queued is not None and queued.inputs:
                self._suspicious.append((report.session, queued.inputs))
        if given is not None:
            for skipped in report.skipped:
                given.pop(skipped.task)
        plausible_ends = tuple(map(plausible_failed, failed))
        return ExecutorReported(executor, report.session, tuple(done), plausible_ends, report.ranges, report.skipped)

    def forget_executor(self, executor: int) -> None:
        """The executor is gone."""
        for session, given in self._given.pop(executor, {}).items():
            for task in given:
                queued = given.get(task)
                if queued is not None and queued.inputs:
                    self._suspicious.append((session, queued.inputs))

    def look_after_inputs(self) -> None:
        """Looks at the files of tasks that did not end well; to be called when their end was passed on."""
        suspicious, self._suspicious = self._suspicious, []
        for session, objects in suspicious:
            self.look_after(session, objects)

    def look_after(self, session: int, objects: Iterable[int]) -> None:
        """Something may be wrong with the files of these objects."""
        damaged = self._store.damaged(session, objects)
        if damaged:
            self._on_damage(session, damaged)

    def _inputs(self, session: int, objects: tuple[int, ...], inner: tuple[int, ...]) -> tuple[RunInput, ...]:
        room = MAX_TASK_INPUT_BYTES
        inputs = []
        for obj in objects:
            if obj in inner:
                inputs.append(RunInput(obj, 0, None, None, None))
                continue
            stored = self._store.get(session, obj)
            if stored is None:
                name = object_name(session, obj)
                raise InvariantViolation(f"{name} is an input of a task, but it is not in the store")
            data = stored.data
            if isinstance(data, bytes):
                room -= stored.size
                if room >= 0:
                    inputs.append(RunInput(obj, stored.size, stored.content_type, data, None))
                    continue
            inputs.append(self._as_file(session, obj, stored))
        if inputs and self._attached.any_in(session):
            return tuple([self._with_users(session, each) for each in inputs])
        return tuple(inputs)

    def _with_users(self, session: int, given: RunInput) -> RunInput:
        spec_user, info_user = self._attached.of(session, given.object)
        if given.data is None and given.path is None:
            # What its task attaches, the executor knows.
            info_user = b""
        return replace(given, user=info_user, spec_user=spec_user) if spec_user or info_user else given

    def _as_file(self, session: int, obj: int, stored: Stored) -> RunInput:
        try:
            path = self._store.spill(session, obj)
        except OSError as error:
            if not isinstance(stored.data, bytes):
                raise
            # A full disk is no reason to fail a task that might do without it.
            _log.warning("%s travels in a message, it cannot be written: %s", object_name(session, obj), error)
            return RunInput(obj, stored.size, stored.content_type, stored.data, None)
        return RunInput(obj, stored.size, stored.content_type, None, str(path))

    def _keep_range(self, session: int, given: NumberMap[QueuedRun] | None, done: RangeDone) -> None:
        found = [] if given is None else list(given.stretches(done.task, done.count))
        if given is None or len(found) != 1 or found[0][1] != done.count or found[0][2].attempt != done.attempt:
            name = task_name(session, done.task)
            raise ProtocolViolation(f"a report of {done.count} tasks from {name} on, which were not given together")
        queued = found[0][2]
        sizes = plausible_sizes(done, queued.n_outputs)
        given.discard(done.task, done.count)
        first_output = _first_output(queued, done.task)
        self._store.put_range(session, first_output, sizes, bytes(done.data), done.content_type)

    def _keep_results(self, session: int, queued: QueuedRun, ended: TaskDone) -> str | None:
        """What is wrong with the results; None when all are in the store with the sizes that were reported."""
        for obj, output in enumerate(ended.outputs, _first_output(queued, ended.task)):
            if output.content_type is not None and len(output.content_type) > MAX_TYPE_LENGTH:
                return f"the content type of {object_name(session, obj)} has more than {MAX_TYPE_LENGTH} characters"
            try:
                size = self._keep(session, queued, obj, output)
            except OSError as error:
                return f"{object_name(session, obj)} cannot be stored: {error.strerror}"
            if size != output.size:
                found = "nothing" if size is None else f"{size} bytes"
                return f"{object_name(session, obj)} was reported with {output.size} bytes, but {found} is in the store"
        return None

    def _keep(self, session: int, queued: QueuedRun, obj: int, output: Produced) -> int | None:
        if output.data is not None:
            self._store.put_bytes(session, obj, output.data, output.content_type)
            return len(output.data)
        if output.same_as_input is None:
            if output.content_type == DIRECTORY and output.size > MAX_PIPE_RESULT:
                return self._store.adopt_tree(session, obj, output.size)
            return self._store.adopt_file(session, obj, output.content_type)
        if not 0 <= output.same_as_input < len(queued.inputs):
            return None
        return self._store.alias(session, obj, queued.inputs[output.same_as_input], output.content_type)


def _single(queued: QueuedRun, inputs: tuple[RunInput, ...], gpus: tuple[int, ...] | None) -> RunTask:
    return RunTask(
        task=queued.task,
        attempt=queued.attempt,
        spec=queued.spec,
        first_output=queued.first_output,
        # Encoded from the view as it is, without a copy in between.
        args=queued.args,  # type: ignore[arg-type]
        inputs=inputs,
        user=queued.user,
        gpus=gpus,
    )


def _range(queued: QueuedRun, gpus: tuple[int, ...] | None) -> RunRange:
    return RunRange(
        task=queued.task,
        count=queued.count,
        attempt=queued.attempt,
        spec=queued.spec,
        first_output=queued.first_output,
        args_size=queued.args_size,
        args=queued.args,  # type: ignore[arg-type]
        gpus=gpus,
    )


def _first_output(queued: QueuedRun, task: int) -> int:
    return queued.first_output + (task - queued.task) * queued.n_outputs
