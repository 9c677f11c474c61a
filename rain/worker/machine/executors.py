"""The executors' lives: started, ready, killed, ended, replaced."""

from __future__ import annotations

from rain.core import resources
from rain.core.failure import Cause, Failure
from rain.core.note import TaskNote
from rain.protocol.worker import Failed
from rain.worker.machine.effects import Complain, Exit, KillExecutor, StartExecutor
from rain.worker.machine.events import ExecutorEnded, ExecutorReady
from rain.worker.machine.outbox import TurnEffects
from rain.worker.machine.state import Executor, HeldSession, HeldTask, Stage, State
from rain.worker.machine.transitions import discard_outputs, forget_task, make_ready, outputs

#: After this many executors in a row that ended before any task began, they are started one by one, with pauses.
MAX_EARLY_DEATHS = 3
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
#: A worker on which no executor lives for this long is of no use: it leaves, so that its tasks run elsewhere.
GIVE_UP_AFTER_S = 60.0

#: How much of standard error a failure carries; the note has more.
STDERR_TAIL = 2 << 10

#: Numbers and meanings as on Linux; others are printed as numbers only.
_SIGNALS = {
    1: "hangup",
    2: "interrupt",
    4: "illegal instruction",
    6: "abort",
    7: "bus error",
    8: "arithmetic error",
    9: "kill, often because memory ran out",
    11: "segmentation fault",
    15: "termination",
    24: "cpu time limit",
    25: "file size limit",
    31: "forbidden system call",
}


def staff(state: State, now: float, outbox: TurnEffects) -> None:
    """Starts executors until there is one per cpu, carefully where they die at once."""
    missing = state.n_base_executors - len(state.executors)
    if missing <= 0:
        return
    if state.trouble.since is not None:
        if now < state.trouble.retry_at or state.n_starting:
            return
        missing = 1
    start_executors(state, missing, outbox)


def start_executors(state: State, count: int, outbox: TurnEffects) -> None:
    """Starts this many more; a number is never used twice."""
    for number in range(state.next_executor, state.next_executor + count):
        state.executors[number] = Executor(number)
        outbox.order(StartExecutor(number))
    state.next_executor += count
    state.n_starting += count


def executor_ready(state: State, event: ExecutorReady) -> None:
    """The executor can be given tasks."""
    executor = state.executors.get(event.executor)
    if executor is None or executor.stage is not Stage.STARTING:
        return
    executor.stage = Stage.READY
    state.n_starting -= 1
    state.idle[executor.number] = executor


def kill(state: State, executor: Executor, outbox: TurnEffects) -> None:
    """Orders the executor's end; what it holds stays held until then."""
    if executor.stage is Stage.KILLED:
        return
    executor.stage = Stage.KILLED
    state.idle.pop(executor.number, None)
    outbox.order(KillExecutor(executor.number))


def stop_overdue(state: State, now: float, outbox: TurnEffects) -> None:
    """Kills executors whose task runs longer than its spec allows."""
    for executor in state.executors.values():
        if executor.stage is not Stage.READY or not executor.batches:
            continue
        deadline = executor.batches[0].deadline
        if deadline is not None and now > deadline:
            executor.timed_out = True
            kill(state, executor, outbox)


def free_resources(state: State, executor: Executor) -> None:
    """The executor has no batch any more: what it held can be used."""
    if executor.holds is not None:
        state.free = resources.add(state.free, executor.holds.request)
        if executor.gpus:
            state.gpus.give_back(executor.holds.request.gpus, executor.gpus)
            executor.gpus = ()
        executor.holds.n_running -= 1
        executor.holds = None


def executor_ended(state: State, event: ExecutorEnded, now: float, outbox: TurnEffects) -> None:
    """Sorts out what became of its tasks.

    The one that ran fails, unless the end was our doing; what had not begun queues again, and so does what was done
    but not reported, since its results may be incomplete.
    """
    executor = state.executors.pop(event.executor, None)
    if executor is None:
        return
    state.idle.pop(executor.number, None)
    if executor.stage is Stage.STARTING:
        state.n_starting -= 1
    free_resources(state, executor)
    rest = [(batch.session, task) for batch in executor.batches for task in batch.tasks.values()]
    n_begun = max(0, event.n_started - executor.n_reported)
    is_blamed = executor.stage is not Stage.KILLED or executor.timed_out
    for index, (number, task) in enumerate(rest):
        runs_at_end = index == n_begun - 1
        _task_left(
            state,
            number,
            task,
            outbox,
            ending=(_failure(task, executor, event), _note(event)) if runs_at_end and is_blamed else None,
            begun=index < n_begun,
        )
    if executor.stage is Stage.KILLED:
        # It may have been killed with its session, and have held the last task of a class.
        state.forget_unused_classes()
    if executor.stage is not Stage.KILLED and not event.n_started and (rest or executor.stage is Stage.STARTING):
        _early_death(state, event, now, outbox)


def _task_left(
    state: State,
    number: int,
    task: HeldTask,
    outbox: TurnEffects,
    *,
    ending: tuple[Failure, TaskNote | None] | None,
    begun: bool,
) -> None:
    """One task of an executor that ended; `ending`: how its attempt failed by that, None where it did not."""
    session = state.sessions.get(number)
    if session is None:
        for obj in outputs(task) if begun else ():
            outbox.discard(number, obj)
        return
    if session.tasks.get(task.queued.task) is task:
        task.executor = None
        if ending is None:
            make_ready(state, task)
        else:
            failure, note = ending
            fail(session, task, failure, outbox, note=note)
    if begun:
        discard_outputs(session, task, outbox)


def fail(
    session: HeldSession,
    task: HeldTask,
    failure: Failure,
    outbox: TurnEffects,
    *,
    note: TaskNote | None = None,
    duration_us: int = 0,
) -> None:
    """The attempt failed; tasks that wait for it stay until the server cancels them."""
    forget_task(session, task, outbox)
    queued = task.queued
    outbox.tell(Failed(session.number, queued.task, queued.attempt, failure, note, min(duration_us, 0xFFFFFFFF)))


def _failure(task: HeldTask, executor: Executor, event: ExecutorEnded) -> Failure:
    if executor.timed_out:
        limit = task.spec.spec.timeout_s or 0.0
        message = f"it ran longer than its limit of {limit:g} s and was stopped"
        return Failure(cause=Cause.TASK, message=message, stderr=event.stderr[-STDERR_TAIL:])
    message = f"the process that ran it {_how_it_ended(event)}"
    return Failure(cause=Cause.EXECUTOR, message=message, stderr=event.stderr[-STDERR_TAIL:])


def _note(event: ExecutorEnded) -> TaskNote | None:
    if not event.stdout and not event.stderr:
        return None
    return TaskNote(stdout=event.stdout, stderr=event.stderr)


def _how_it_ended(event: ExecutorEnded) -> str:
    if event.signal is None:
        return f"exited with code {event.exit_code}"
    meaning = _SIGNALS.get(event.signal)
    return f"was killed by signal {event.signal}" + (f" ({meaning})" if meaning else "")


def _early_death(state: State, event: ExecutorEnded, now: float, outbox: TurnEffects) -> None:
    trouble = state.trouble
    trouble.n_deaths += 1
    if trouble.n_deaths < MAX_EARLY_DEATHS:
        return
    if trouble.since is None:
        trouble.since = now
    ending = _how_it_ended(event)
    what = f"{trouble.n_deaths} executor processes in a row ended before they ran a task; the last one {ending}"
    words = f". Its standard error ends: {event.stderr.strip()}" if event.stderr.strip() else ""
    if now - trouble.since >= GIVE_UP_AFTER_S:
        outbox.order(Complain(f"{what}. This worker cannot run tasks and leaves{words}"))
        outbox.order(Exit())
        state.exited = True
        return
    pause = min(FIRST_PAUSE_S * 2.0 ** (trouble.n_deaths - MAX_EARLY_DEATHS), LONGEST_PAUSE_S)
    trouble.retry_at = now + pause
    outbox.order(Complain(f"{what}. The next one is started in {pause:g} s{words}"))
