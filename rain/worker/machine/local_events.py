"""What happened on this machine: tasks ended, inputs came or cannot be had."""

from __future__ import annotations

from rain.core.failure import Cause, Failure
from rain.protocol.executor import TaskDone, TaskFailed
from rain.worker.machine.events import ExecutorReported, InputsArrived, InputsUnavailable
from rain.worker.machine.executors import fail, free_resources
from rain.worker.machine.outbox import TurnEffects
from rain.worker.machine.state import Executor, HeldSession, HeldTask, Stage, StartTrouble, State
from rain.worker.machine.transitions import (
    discard_file,
    discard_outputs,
    give_back,
    object_present,
    outputs,
    release_inputs,
    remove_object,
)

#: The running mean follows shorter tasks faster than longer ones: the first call of a function is often much slower.
_WEIGHT_DOWN = 1 / 4
_WEIGHT_UP = 1 / 8


def executor_reported(state: State, event: ExecutorReported, outbox: TurnEffects) -> None:
    """Results become objects, failures are passed on; what was cancelled meanwhile leaves nothing."""
    executor = state.executors.get(event.executor)
    if executor is None:
        return
    executor.n_reported += len(event.done) + len(event.failed)
    if state.trouble.n_deaths:
        state.trouble = StartTrouble()
    session = state.sessions.get(event.session)
    for done in event.done:
        task = _take(executor, event.session, done)
        if task is None:
            continue
        if session is None or session.tasks.get(done.task) is not task:
            _discard_results(session, event.session, task, outbox)
        elif len(done.outputs) != task.spec.n_outputs:
            fail(session, task, _wrong_number(session, task, done), outbox)
            discard_outputs(session, task, outbox)
        else:
            _finish(state, session, task, done, outbox)
    for failed in event.failed:
        task = _take(executor, event.session, failed)
        if task is not None and session is not None and session.tasks.get(failed.task) is task:
            fail(session, task, failed.failure, outbox, note=failed.note, duration_us=failed.duration_us)
    _end_batches(state, executor)


def inputs_arrived(state: State, event: InputsArrived, outbox: TurnEffects) -> None:
    """Objects that were ordered are in the store; those that nobody wants any more leave it at once."""
    session = state.sessions.get(event.session)
    if session is None:
        for obj in event.objects:
            outbox.discard(event.session, obj)
        return
    for obj, size in zip(event.objects, event.sizes, strict=True):
        was_ordered = session.fetching.pop(obj, None) is not None
        if obj in session.present:
            _settle_doom(session, obj, outbox)
        elif not was_ordered or (obj in session.doomed and obj not in session.needed):
            session.doomed.discard(obj)
            discard_file(session, obj, outbox)
        else:
            if obj not in session.doomed:
                outbox.fetched(session.number, obj)
            outbox.keep(session.number, obj)
            object_present(state, session, obj, size)


def inputs_unavailable(state: State, event: InputsUnavailable, outbox: TurnEffects) -> None:
    """The holder has not got them: the tasks that wait go back to the server, which knows where else to look."""
    session = state.sessions.get(event.session)
    if session is None:
        return
    lost = {}
    for obj in event.objects:
        if session.fetching.get(obj) != event.holder:
            continue
        del session.fetching[obj]
        if obj in session.present:
            _settle_doom(session, obj, outbox)
            continue
        session.doomed.discard(obj)
        lost[obj] = event.holder
    if lost:
        give_back(session, lost, outbox)


def _settle_doom(session: HeldSession, obj: int, outbox: TurnEffects) -> None:
    """The object came on another way before its fetch ended; the server may have dropped it since."""
    if obj in session.doomed and obj not in session.needed:
        session.doomed.discard(obj)
        remove_object(session, obj, outbox)


def _take(executor: Executor, session: int, ended: TaskDone | TaskFailed) -> HeldTask | None:
    """The task that ended, taken out of its batch; None for one that this executor was not given."""
    for batch in executor.batches:
        task = batch.tasks.get(ended.task) if batch.session == session else None
        if task is not None and task.queued.attempt == ended.attempt:
            del batch.tasks[ended.task]
            return task
    return None


def _finish(state: State, session: HeldSession, task: HeldTask, done: TaskDone, outbox: TurnEffects) -> None:
    """The task is done: it is reported, and its outputs are inputs for others from now on."""
    del session.tasks[done.task]
    spec = task.spec
    if spec.mean_us is None:
        spec.mean_us = float(done.duration_us)
    else:
        step = done.duration_us - spec.mean_us
        spec.mean_us += step * (_WEIGHT_UP if step > 0 else _WEIGHT_DOWN)
    first_output = task.queued.first_output
    outbox.results(session.number).add(done, first_output)
    for obj, output in enumerate(done.outputs, first_output):
        if session.making.get(obj) is task:
            del session.making[obj]
        session.doomed.discard(obj)
        outbox.keep(session.number, obj)
        object_present(state, session, obj, output.size)
    if task.queued.inputs:
        release_inputs(session, task, outbox)


def _discard_results(session: HeldSession | None, number: int, task: HeldTask, outbox: TurnEffects) -> None:
    if session is not None:
        discard_outputs(session, task, outbox)
        return
    for obj in outputs(task):
        outbox.discard(number, obj)


def _wrong_number(session: HeldSession, task: HeldTask, done: TaskDone) -> Failure:
    return Failure(
        cause=Cause.EXECUTOR,
        message=f"the process that ran it reported {len(done.outputs)} outputs, expected {task.spec.n_outputs}",
    )


def _end_batches(state: State, executor: Executor) -> None:
    """Batches of which everything is reported are over; without one, the executor is idle again."""
    batches = executor.batches
    while batches and not batches[0].tasks:
        batches.popleft()
    if not batches and executor.holds is not None:
        free_resources(state, executor)
        if executor.stage is Stage.READY:
            state.idle[executor.number] = executor
