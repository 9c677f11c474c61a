"""Why a task is not done, or how it ended, in words for whoever asks; changes nothing."""

from __future__ import annotations

from rain.core.failure import Cause
from rain.core.ids import NONE, object_name, session_name, task_name, worker_name
from rain.protocol.client import RequestFailed
from rain.protocol.queries import QueryWhy, Why
from rain.server.machine.attempts import past_attempts, progress_of
from rain.server.machine.rooms import slots_of, staying
from rain.server.machine.stages import ASSIGNED, CANCELLED, FAILED, FINISHED, READY, STAGE_NAMES, WAITING
from rain.server.machine.state import ConnectedClient, ServerSession, ServerState
from rain.server.machine.tables import AVAILABLE
from rain.server.machine.task_info import failure_of
from rain.server.machine.unrunnable import describe_workers

#: So many missing inputs are named.
MAX_INPUTS = 5
#: So many tasks of a session that are not done are explained together.
MAX_OPEN = 20


def query_why(state: ServerState, client: ConnectedClient, message: QueryWhy) -> None:
    """Answers any client, whoever's session it is: it may see what all may see."""
    answer = _answer(state, message)
    if isinstance(answer, str):
        state.outbox.tell_client(client.number, RequestFailed(message.request, answer))
    else:
        state.outbox.tell_client(client.number, Why(message.request, answer))


def _answer(state: ServerState, message: QueryWhy) -> tuple[str, ...] | str:
    """The lines, or why there are none."""
    if message.session == NONE:
        lines = [line for session in state.sessions.values() for line in explain_open(state, session)]
        return tuple(lines) or ("no task waits: all are done",)
    session = state.sessions.get(message.session)
    if session is None:
        return f"there is no session {session_name(message.session)}: it was closed, or never was."
    task = message.task
    if message.object != NONE:
        if message.object >= len(session.objects):
            there = len(session.objects)
            return f"{object_name(session.number, message.object)} was not submitted, there are {there} objects."
        task = session.objects.producer[message.object]
        if task == NONE:
            return (f"{object_name(session.number, message.object)} is a constant, no task makes it",)
    elif task == NONE:
        return explain_open(state, session) or (f"no task of {session_name(session.number)} waits: all are done",)
    if task >= len(session.tasks):
        return f"{task_name(session.number, task)} was not submitted, there are {len(session.tasks)} tasks."
    return explain(state, session, task)


def explain_open(state: ServerState, session: ServerSession) -> tuple[str, ...]:
    """A line of each task that is not done: those that only wait for a worker first, then those that run, then others.

    Of many the first ones; none where all are done.
    """
    stage = session.tasks.stage
    lines: list[str] = []
    for wanted in (READY, ASSIGNED, WAITING):
        task = stage.find(wanted)
        while task >= 0 and len(lines) < MAX_OPEN:
            first, *more = explain(state, session, task)
            lines.append(f"{first} {more[0].removeprefix('missing: ')}" if wanted == WAITING and more else first)
            task = stage.find(wanted, task + 1)
    left = session.unfinished - len(lines)
    if lines and left > 0:
        lines.append(f"{session_name(session.number)} has {left} more that are not done")
    return tuple(lines)


def explain(state: ServerState, session: ServerSession, task: int) -> tuple[str, ...]:
    """The answer, line by line; the first begins with the task."""
    stage = session.tasks.stage[task]
    if stage == FINISHED:
        first, *more = _finished(state, session, task)
    elif stage == FAILED:
        first, *more = _failed(session, task)
    elif stage == CANCELLED:
        first, *more = _cancelled(session, task)
    elif stage == ASSIGNED:
        first, *more = _assigned(state, session, task)
    elif stage == READY:
        first, *more = _ready(state, session, task)
    else:
        first, *more = ["waits for inputs:"]
    if stage < FINISHED:
        more += _missing_inputs(session, task)
        more += _failures_before(session, task)
    if stage != FINISHED:
        more += _progress(session, task)
    return (f"{_described(session, task)} {first}", *more)


def _finished(state: ServerState, session: ServerSession, task: int) -> list[str]:
    tasks = session.tasks
    took_s, ago_s = tasks.duration_us[task] / 1e6, max(0.0, state.now - tasks.ended_s[task])
    return [f"finished on {worker_name(tasks.worker[task])} {ago_s:.1f} s ago; its own work took {took_s:.3f} s"]


def _failed(session: ServerSession, task: int) -> list[str]:
    failed = failure_of(session, task)
    first, *more = failed.failure.message.splitlines() or [""]
    return [f"failed on {worker_name(failed.worker)}, attempt {failed.attempt}: {first}", *more]


def _cancelled(session: ServerSession, task: int) -> list[str]:
    culprit = session.tasks.culprit[task]
    if culprit != NONE and session.tasks.stage[culprit] == FAILED:
        first, *more = _failed(session, culprit)
        return [f"was cancelled because {_described(session, culprit)} {first}", *more]
    failure = failure_of(session, task).failure
    if session.failed_reason is not None or failure.cause is not Cause.CANCELLED:
        return [f"was cancelled because its session failed: {failure.message}"]
    return ["was cancelled by its client, or depends on a task that was"]


def _assigned(state: ServerState, session: ServerSession, task: int) -> list[str]:
    tasks = session.tasks
    worker = state.workers[tasks.worker[task]]
    resource_class = session.spec_class[tasks.spec[task]]
    name, n_slots = worker_name(worker.number), slots_of(state, worker, resource_class)
    given_s = max(0.0, state.now - tasks.assigned_s[task])
    lines = [
        f"was given to {name} {given_s:.0f} s ago, attempt {tasks.attempt[task]}",
        f"{name} has tasks: {sum(worker.outstanding.values())}; of those with the same needs it runs {n_slots} at once",
    ]
    if worker.suspect:
        lines.append(f"{name} was not heard of for {state.now - worker.heard_s:.0f} s")
    return lines


def _ready(state: ServerState, session: ServerSession, task: int) -> list[str]:
    resource_class = session.spec_class[session.tasks.spec[task]]
    request = state.classes.requests[resource_class]
    fitting = [worker for worker in staying(state) if slots_of(state, worker, resource_class)]
    if not fitting:
        return [
            f"is ready, but no worker can run it: needed is {request.describe()}, {describe_workers(state, [request])}",
            "it runs when such a worker joins: start one with `rain worker`, or ask for less",
        ]
    names = ", ".join(worker_name(worker.number) for worker in fitting)
    if all(worker.suspect for worker in fitting):
        return [f"is ready, but workers that could run it are silent: {names}"]
    lines = [
        f"is ready and waits for room on {names}; needed is {request.describe()}",
        f"ready tasks of {session_name(session.number)} before it: {_before(session, task)}",
    ]
    others = [
        session_name(other.number)
        for other in state.sessions.values()
        if other is not session and READY in other.tasks.stage
    ]
    if others:
        lines.append(f"sessions that take turns with it: {', '.join(others)}")
    return lines


def _before(session: ServerSession, task: int) -> int:
    """How many ready tasks come first: those of more important queues, and those further ahead in its own."""
    tasks = session.tasks
    spec = tasks.spec[task]
    own = (session.spec_class[spec], session.specs[spec].priority)
    n_before = 0
    for queue in session.ready.queues():
        if queue.priority < own[1]:
            break
        is_own = (queue.resource_class, queue.priority) == own
        if not is_own and queue.priority == own[1]:
            continue
        for run in queue.runs():
            if is_own and task in run:
                return n_before + tasks.stage.count(READY, run.start, task)
            n_before += tasks.stage.count(READY, run.start, run.stop)
    return n_before


def _missing_inputs(session: ServerSession, task: int) -> list[str]:
    flags, producers = session.objects.flags, session.objects.producer
    missing = [obj for obj in dict.fromkeys(session.tasks.inputs_of(task)) if not flags[obj] & AVAILABLE]
    lines = [f"missing: {_missing(session, obj, producers[obj])}" for obj in missing[:MAX_INPUTS]]
    if len(missing) > MAX_INPUTS:
        lines.append(f"missing: {len(missing) - MAX_INPUTS} more")
    return lines


def _missing(session: ServerSession, obj: int, maker: int) -> str:
    name = object_name(session.number, obj)
    if maker == NONE:
        return f"{name}, a constant"
    tasks = session.tasks
    state = STAGE_NAMES[tasks.stage[maker]]
    where = f" on {worker_name(tasks.worker[maker])}" if tasks.stage[maker] == ASSIGNED else ""
    return f"{name} of {_described(session, maker)}, which is {state}{where}"


def _failures_before(session: ServerSession, task: int) -> list[str]:
    failures = session.failed_attempts.get(task, 0)
    lines = [f"attempts that failed before: {failures}"] if failures else []
    for past in past_attempts(session, task):
        if past.error is not None:
            first = past.error.partition("\n")[0]
            lines.append(f"attempt {past.attempt} failed on {worker_name(past.worker)}: {first}")
    return lines


def _progress(session: ServerSession, task: int) -> list[str]:
    said = progress_of(session, task)
    if said is None:
        return []
    return [f"progress: {said.fraction:.1%}" + (f", {said.text}" if said.text else "")]


def _described(session: ServerSession, task: int) -> str:
    name = session.specs[session.tasks.spec[task]].name
    return task_name(session.number, task) + (f" '{name}'" if name else "")
