"""The executors' lives: started, ready, killed, ended, replaced."""

from __future__ import annotations

from rain.core import resources
from rain.core.failure import Cause, Failure
from rain.core.note import TaskNote
from rain.protocol.worker import Failed
from rain.worker.machine.effects import Complain, Exit, KillExecutor, StartExecutor
from rain.worker.machine.events import ExecutorEnded, ExecutorReady
from rain.worker.machine.outbox import TurnEffects
from rain.worker.machine.state import Executor, HeldRun, HeldSession, Stage, State
from rain.worker.machine.transitions import cut_off, discard_outputs, forget_run, put_back

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
    but not reported, since its results may be incomplete. One that ran on results that were not reported is not blamed
    before it does so again with inputs that are in the store: the server could not know of these.
    """
    executor = state.executors.pop(event.executor, None)
    if executor is None:
        return
    state.idle.pop(executor.number, None)
    if executor.stage is Stage.STARTING:
        state.n_starting -= 1
    free_resources(state, executor)
    n_begun = max(0, event.n_started - executor.n_reported)
    is_blamed = executor.stage is not Stage.KILLED or executor.timed_out
    had_tasks = bool(executor.batches)
    for number, run in [(batch.session, run) for batch in executor.batches for run in batch.runs]:
        session = state.sessions.get(number)
        done, at_end, rest = _by_fate(session, run, n_begun)
        n_begun -= run.count
        if done is not None:
            _left_over(state, number, done, outbox, begun=True)
        is_held = at_end is not None and session is not None and session.tasks.get(at_end.task) is at_end
        if at_end is not None and session is not None and is_held and is_blamed and not at_end.missing:
            fail(session, at_end, _failure(at_end, executor, event), outbox, note=_note(event))
            discard_outputs(session, at_end, outbox)
        elif at_end is not None:
            at_end.spec.may_follow = at_end.spec.may_follow and not is_blamed
            _left_over(state, number, at_end, outbox, begun=True)
        if rest is not None:
            _left_over(state, number, rest, outbox, begun=False)
    if executor.stage is Stage.KILLED:
        # It may have been killed with its session, and have held the last task of a class.
        state.forget_unused_classes()
    if executor.stage is not Stage.KILLED and not event.n_started and (had_tasks or executor.stage is Stage.STARTING):
        _early_death(state, event, now, outbox)


def _by_fate(
    session: HeldSession | None, run: HeldRun, n_begun: int
) -> tuple[HeldRun | None, HeldRun | None, HeldRun | None]:
    """Of the tasks of an executor that ended: those it was done with, the one that ran, and those it had not begun.

    `n_begun` counts from the first of the run on, and may be more than there are, or negative.
    """
    if n_begun <= 0:
        return None, None, run
    if n_begun > run.count:
        return run, None, None
    done = cut_off(session, run, n_begun - 1) if n_begun > 1 else None
    if n_begun - (done.count if done is not None else 0) == run.count:
        return done, run, None
    return done, cut_off(session, run, 1), run


def _left_over(state: State, number: int, run: HeldRun, outbox: TurnEffects, *, begun: bool) -> None:
    """Tasks of an executor that ended, and that is no fault of theirs: they queue again, unless they were cancelled."""
    session = state.sessions.get(number)
    if session is None:
        if begun:
            outbox.discard(number, run.first_output, run.n_outputs)
        return
    if session.tasks.get(run.task) is run:
        put_back(state, run)
    if begun:
        discard_outputs(session, run, outbox)


def fail(
    session: HeldSession,
    task: HeldRun,
    failure: Failure,
    outbox: TurnEffects,
    *,
    note: TaskNote | None = None,
    duration_us: int = 0,
) -> None:
    """The attempt failed; tasks that wait for it stay until the server cancels them."""
    forget_run(session, task, outbox)
    outbox.tell(Failed(session.number, task.task, task.attempt, failure, note, min(duration_us, 0xFFFFFFFF)))


def _failure(task: HeldRun, executor: Executor, event: ExecutorEnded) -> Failure:
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
