"""What happened on this machine: tasks ended, inputs came or cannot be had."""

from __future__ import annotations

from rain.core.failure import Cause, Failure
from rain.protocol.executor import RangeDone, TaskDone, TaskFailed, TaskSkipped
from rain.worker.machine.events import ExecutorReported, InputsArrived, InputsUnavailable
from rain.worker.machine.executors import fail, free_resources
from rain.worker.machine.numbers import among
from rain.worker.machine.outbox import TurnEffects
from rain.worker.machine.state import Executor, HeldRun, HeldSession, Spec, Stage, StartTrouble, State
from rain.worker.machine.transitions import (
    discard_file,
    discard_outputs,
    divide,
    give_back,
    object_present,
    objects_present,
    put_back,
    release_inputs,
    remove_object,
)

#: The running mean follows shorter tasks faster than longer ones: the first call of a function is often much slower.
_WEIGHT_DOWN = 1 / 4
_WEIGHT_UP = 1 / 8


def executor_reported(state: State, event: ExecutorReported, outbox: TurnEffects) -> None:
    """Results become objects, failures are passed on; what was cancelled meanwhile leaves nothing.

    What ran on a result that was not accepted, or was skipped because there was none, waits again.
    """
    executor = state.executors.get(event.executor)
    if executor is None:
        return
    n_ended = len(event.done) + len(event.failed) + len(event.skipped)
    executor.n_reported += n_ended + sum([done.count for done in event.ranges])
    if state.trouble.n_deaths:
        state.trouble = StartTrouble()
    session = state.sessions.get(event.session)
    for done in event.ranges:
        for run in _take(executor, session, event.session, done):
            if session is not None and session.tasks.get(run.task) is run:
                _finish_run(state, session, run, done, outbox)
            else:
                _discard_results(session, event.session, run, outbox)
    ended: list[TaskDone | TaskFailed | TaskSkipped] = [*event.done, *event.failed, *event.skipped]
    for one in ended:
        for task in _take(executor, session, event.session, one):
            if session is not None and session.tasks.get(one.task) is task:
                _task_ended(state, session, task, one, outbox)
            elif isinstance(one, TaskDone):
                _discard_results(session, event.session, task, outbox)
    _end_batches(state, executor)


def inputs_arrived(state: State, event: InputsArrived, outbox: TurnEffects) -> None:
    """Objects that were ordered are in the store; those that nobody wants any more leave it at once."""
    session = state.sessions.get(event.session)
    if session is None:
        for obj in event.objects:
            outbox.discard(event.session, obj)
        return
    for obj in event.objects:
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
            object_present(state, session, obj)


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
        give_back(session, lost, outbox, unwritten=event.unwritten)


def _settle_doom(session: HeldSession, obj: int, outbox: TurnEffects) -> None:
    """The object came on another way before its fetch ended; the server may have dropped it since."""
    if obj in session.doomed and obj not in session.needed:
        session.doomed.discard(obj)
        remove_object(session, obj, outbox)


def _take(
    executor: Executor, session: HeldSession | None, number: int, ended: RangeDone | TaskDone | TaskFailed | TaskSkipped
) -> list[HeldRun]:
    """The tasks that ended, taken out of their batch; nothing for those that this executor was not given."""
    first = ended.task
    end = first + (ended.count if isinstance(ended, RangeDone) else 1)
    found = []
    for batch in executor.batches:
        if batch.session != number:
            continue
        head = batch.runs[0] if batch.runs else None
        if head is not None and head.count == end - first == 1 and (head.task, head.attempt) == (first, ended.attempt):
            # As always, where tasks are no neighbours.
            del batch.runs[0]
            return [head]
        index = 0
        while index < len(batch.runs):
            run = batch.runs[index]
            start, stop = max(first, run.task), min(end, run.end)
            if start >= stop or run.attempt != ended.attempt:
                index += 1
                continue
            part, others = divide(session, run, start, stop - start)
            batch.runs[index : index + 1] = others
            found.append(part)
            if stop == end:
                return found
    return found


def _task_ended(
    state: State, session: HeldSession, task: HeldRun, ended: TaskDone | TaskFailed | TaskSkipped, outbox: TurnEffects
) -> None:
    if isinstance(ended, TaskSkipped):
        # What is here all the same, its executor could not pass on.
        task.spec.may_follow = task.spec.may_follow and task.missing > 0
        put_back(state, task)
    elif task.missing:
        put_back(state, task)
        discard_outputs(session, task, outbox)
    elif isinstance(ended, TaskDone):
        _task_done(state, session, task, ended, outbox)
    else:
        fail(session, task, ended.failure, outbox, note=ended.note, duration_us=ended.duration_us)


def _task_done(state: State, session: HeldSession, task: HeldRun, done: TaskDone, outbox: TurnEffects) -> None:
    if len(done.outputs) != task.spec.n_outputs:
        fail(session, task, _wrong_number(task, done), outbox)
        discard_outputs(session, task, outbox)
        return
    _learn_duration(task.spec, done.duration_us, 1)
    outbox.results(session.number).add(done, task.first_output)
    _finish(state, session, task, outbox)


def _finish_run(state: State, session: HeldSession, run: HeldRun, done: RangeDone, outbox: TurnEffects) -> None:
    """What is still held of a range that is done: most often all of it."""
    results = outbox.results(session.number)
    _learn_duration(run.spec, results.add_range(done, run.task - done.task, run), run.count)
    _finish(state, session, run, outbox)


def _learn_duration(spec: Spec, total_us: int, count: int) -> None:
    """So many tasks took so long in all."""
    mean_us = total_us / count
    if spec.mean_us is None:
        spec.mean_us = mean_us
        return
    step = mean_us - spec.mean_us
    kept = 1.0 - (_WEIGHT_UP if step > 0 else _WEIGHT_DOWN)
    spec.mean_us += step * (1.0 - kept**count)


def _finish(state: State, session: HeldSession, run: HeldRun, outbox: TurnEffects) -> None:
    """The tasks are done: they are reported, and their outputs are inputs for others from now on."""
    first, count = run.first_output, run.n_outputs
    session.tasks.discard(run.task, run.count)
    session.making.discard(first, count)
    if session.doomed:
        session.doomed.difference_update(among(session.doomed, first, count))
    outbox.keep(session.number, first, count)
    objects_present(state, session, first, count)
    if run.inputs:
        release_inputs(session, run, outbox)


def _discard_results(session: HeldSession | None, number: int, run: HeldRun, outbox: TurnEffects) -> None:
    if session is None:
        outbox.discard(number, run.first_output, run.n_outputs)
    else:
        discard_outputs(session, run, outbox)


def _wrong_number(task: HeldRun, done: TaskDone) -> Failure:
    return Failure(
        cause=Cause.EXECUTOR,
        message=f"the process that ran it reported {len(done.outputs)} outputs, expected {task.spec.n_outputs}",
    )


def _end_batches(state: State, executor: Executor) -> None:
    """Batches of which everything is reported are over; without one, the executor is idle again."""
    batches = executor.batches
    while batches and not batches[0].runs:
        batches.popleft()
    if not batches and executor.holds is not None:
        free_resources(state, executor)
        if executor.stage is Stage.READY:
            state.idle[executor.number] = executor
