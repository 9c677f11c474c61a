"""Batches on their way to executors and back: inputs come out of the store, results go into it."""

from __future__ import annotations

from rain.core.errors import InvariantViolation
from rain.core.failure import Cause, Failure
from rain.core.ids import object_name
from rain.protocol.executor import Produced, Report, Run, RunInput, RunSpec, RunTask, TaskDone, TaskFailed
from rain.worker.machine.effects import QueuedTask, RunBatch
from rain.worker.machine.events import ExecutorReported
from rain.worker.store import Store


class Batches:
    """Knows, of every task that an executor was given and did not report, where its outputs and inputs are."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._given: dict[int, dict[tuple[int, int], QueuedTask]] = {}

    def run(self, order: RunBatch) -> Run:
        """The message that has an executor run a batch."""
        session = order.session
        given = self._given.setdefault(order.executor, {})
        tasks = []
        for queued in order.tasks:
            given[session, queued.task] = queued
            tasks.append(
                RunTask(
                    task=queued.task,
                    attempt=queued.attempt,
                    spec=queued.spec,
                    first_output=queued.first_output,
                    # Encoded from the view as it is, without a copy in between.
                    args=queued.args,  # type: ignore[arg-type]
                    inputs=tuple([self._input(session, obj) for obj in queued.inputs]),
                )
            )
        specs = tuple(RunSpec(session, number, spec) for number, spec in order.new_specs)
        return Run(session, specs, tuple(tasks))

    def take(self, executor: int, report: Report) -> ExecutorReported:
        """Puts the results of a report into the store; a task whose results are not there has failed."""
        given = self._given.get(executor, {})
        done = []
        failed = list(report.failed)
        for ended in report.done:
            queued = given.pop((report.session, ended.task), None)
            # What was not given, the machine ignores.
            problem = None if queued is None else self._keep_results(report.session, queued, ended)
            if problem is None:
                done.append(ended)
            else:
                failure = Failure(cause=Cause.EXECUTOR, message=problem, debug=ended.debug)
                failed.append(TaskFailed(ended.task, ended.attempt, ended.duration_us, failure))
        for lost in report.failed:
            given.pop((report.session, lost.task), None)
        return ExecutorReported(executor, report.session, tuple(done), tuple(failed))

    def forget_executor(self, executor: int) -> None:
        """The executor is gone."""
        self._given.pop(executor, None)

    def _input(self, session: int, obj: int) -> RunInput:
        stored = self._store.get(session, obj)
        if stored is None:
            raise InvariantViolation(f"{object_name(session, obj)} is an input of a task, but it is not in the store")
        data = stored.data
        if isinstance(data, bytes):
            return RunInput(obj, stored.size, stored.content_type, data, None)
        return RunInput(obj, stored.size, stored.content_type, None, str(data))

    def _keep_results(self, session: int, queued: QueuedTask, ended: TaskDone) -> str | None:
        """What is wrong with the results; None when all are in the store with the sizes that were reported."""
        for obj, output in enumerate(ended.outputs, queued.first_output):
            try:
                size = self._keep(session, queued, obj, output)
            except OSError as error:
                return f"{object_name(session, obj)} cannot be stored: {error.strerror}"
            if size != output.size:
                found = "nothing" if size is None else f"{size} bytes"
                return f"{object_name(session, obj)} was reported with {output.size} bytes, but {found} is in the store"
        return None

    def _keep(self, session: int, queued: QueuedTask, obj: int, output: Produced) -> int | None:
        if output.data is not None:
            self._store.put_bytes(session, obj, output.data, output.content_type)
            return len(output.data)
        if output.same_as_input is None:
            return self._store.adopt_file(session, obj, output.content_type)
        if not 0 <= output.same_as_input < len(queued.inputs):
            return None
        return self._store.alias(session, obj, queued.inputs[output.same_as_input], output.content_type)
