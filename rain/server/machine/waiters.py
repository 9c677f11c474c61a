"""Clients that wait: answers to `Wait` and `Locate`, at once or when it is time, and the news of progress.

A wait remembers how far it has looked: what is done stays done for it, so that it looks at each task once, and at
nothing more than the count of unfinished tasks where it is for everything.
"""

from __future__ import annotations

import re
from array import array

from rain.core.failure import Cause, Failure
from rain.core.ids import NONE, SERVER, object_name, task_name
from rain.protocol.client import MAX_INLINE_CONSTANT, MAX_PART_BYTES, Located, Progress, RequestFailed, WaitDone
from rain.protocol.columns import EMPTY, column
from rain.protocol.transfer import Peer
from rain.server.machine.effects import SendLocated
from rain.server.machine.stages import FAILED, FINISHED
from rain.server.machine.state import FailedTask, PendingLocate, PendingWait, ServerSession, ServerState
from rain.server.machine.tables import AVAILABLE, AWAITED, CONSTANT, STASHED

#: Unfinished tasks that a client may have, and the share of them that ends between two messages of `Progress`.
SUBMIT_WINDOW = 2_000_000
PROGRESS_STEP = SUBMIT_WINDOW // 16

_UNFINISHED = re.compile(b"[\x00-\x02]")


def start_wait(state: ServerState, session: ServerSession, wait: PendingWait) -> None:
    """Answers the wait if it can be answered now, else remembers it."""
    if wait.tasks is not None:
        flags = session.tasks.flags
        for task in wait.tasks:
            flags[task] |= AWAITED
    if not _answer_wait(state, session, wait, look_for_failures=True):
        session.waits.append(wait)


def start_locate(state: ServerState, session: ServerSession, locate: PendingLocate) -> None:
    """Answers the request if it can be answered now, else remembers it."""
    if not _answer_locate(state, session, locate):
        session.locates.append(locate)


def answer_waiters(state: ServerState, session: ServerSession) -> None:
    """After something happened in the session: answers what can be answered, tells of progress."""
    failed, session.awaited_failed = session.awaited_failed, False
    if session.waits:
        session.waits = [wait for wait in session.waits if not _answer_wait(state, session, wait, failed)]
    if session.locates:
        session.locates = [locate for locate in session.locates if not _answer_locate(state, session, locate)]
    done = len(session.tasks) - session.unfinished
    if done > session.reported_done and (not session.unfinished or done - session.reported_done >= PROGRESS_STEP):
        session.reported_done = done
        if session.client in state.clients:
            state.outbox.tell_client(session.client, Progress(session.number, done, session.unfinished))


def request_failed(session: ServerSession, request: int, failed: FailedTask | None, reason: str) -> RequestFailed:
    """The answer to a request that cannot be met, with the failure of a task where there is one."""
    if failed is None:
        return RequestFailed(request, reason)
    return RequestFailed(request, reason, failed.task, failed.attempt, failed.worker, failed.failure)


def _answer_wait(state: ServerState, session: ServerSession, wait: PendingWait, look_for_failures: bool) -> bool:
    failed: FailedTask | None = None
    reason = session.failed_reason or ""
    if session.failed_reason is not None:
        failed = session.first_failure
    elif wait.tasks is None:
        if not _all_ended(session, wait):
            return False
        failed = session.first_failure
        reason = "" if failed is None else failed.failure.message
    else:
        failed = _first_failed(session, wait) if look_for_failures else None
        if failed is None:
            return _answer_if_finished(state, session, wait)
        reason = failed.failure.message
    if failed is None and session.failed_reason is None:
        state.outbox.tell_client(wait.client, WaitDone(wait.request))
    else:
        state.outbox.tell_client(wait.client, request_failed(session, wait.request, failed, reason))
    return True


def _all_ended(session: ServerSession, wait: PendingWait) -> bool:
    if not session.unfinished:
        return True
    if wait.n_tasks == len(session.tasks):
        return False
    found = _UNFINISHED.search(session.tasks.stage, wait.cursor, wait.n_tasks)
    wait.cursor = wait.n_tasks if found is None else found.start()
    return found is None


def _first_failed(session: ServerSession, wait: PendingWait) -> FailedTask | None:
    stage = session.tasks.stage
    for task in wait.tasks or ():
        if stage[task] > FINISHED:
            return failure_of(session, task)
    return None


def _answer_if_finished(state: ServerState, session: ServerSession, wait: PendingWait) -> bool:
    tasks = wait.tasks if wait.tasks is not None else array("I")
    stage = session.tasks.stage
    if wait.some is not None:
        if tasks and not any(stage.find(FINISHED, first, stop) >= 0 for first, stop in wait.some):
            return False
        finished = array("I", [task for task in tasks if stage[task] == FINISHED])
        state.outbox.tell_client(wait.client, WaitDone(wait.request, column(finished)))
        return True
    while wait.cursor < len(tasks) and stage[tasks[wait.cursor]] >= FINISHED:
        wait.cursor += 1
    if wait.cursor < len(tasks):
        return False
    state.outbox.tell_client(wait.client, WaitDone(wait.request))
    return True


def failure_of(session: ServerSession, task: int) -> FailedTask:
    """Why a FAILED or CANCELLED task is so: its own failure, that of the task it depends on, or the cancelling."""
    tasks = session.tasks
    culprit = task if tasks.stage[task] == FAILED else tasks.culprit[task]
    failed = session.failed_tasks.get(culprit)
    if failed is not None:
        return failed
    text = session.failed_reason or f"{task_name(session.number, task)} was cancelled."
    failure = Failure(cause=Cause.CANCELLED, message=text)
    return FailedTask(task, tasks.attempt[task], _worker_or_zero(tasks.worker[task]), failure)


def _worker_or_zero(worker: int) -> int:
    return SERVER if worker == NONE else worker


def _answer_locate(state: ServerState, session: ServerSession, locate: PendingLocate) -> bool:
    flags = session.objects.flags
    while locate.cursor < len(locate.objects):
        obj = locate.objects[locate.cursor]
        if not flags[obj] & AVAILABLE:
            return _answer_unavailable(state, session, locate, obj)
        locate.cursor += 1
        if locate.cursor == len(locate.objects):
            lost = (place for place, obj in enumerate(locate.objects) if not flags[obj] & AVAILABLE)
            locate.cursor = next(lost, locate.cursor)
    state.outbox.say(_located(state, session, locate))
    return True


def _answer_unavailable(state: ServerState, session: ServerSession, locate: PendingLocate, obj: int) -> bool:
    tasks = session.tasks
    producer = session.objects.producer[obj]
    failed: FailedTask | None = None
    if producer != NONE and tasks.is_unfinished(producer):
        return False
    if producer != NONE and tasks.stage[producer] > FINISHED:
        failed = failure_of(session, producer)
        reason = failed.failure.message
    elif session.objects.flags[obj] & CONSTANT:
        reason = f"{object_name(session.number, obj)}, a constant, is not held by the server any more."
    elif session.failed_reason is not None:
        failed, reason = session.first_failure, session.failed_reason
    else:
        spec = session.specs[tasks.spec[producer]]
        reason = (
            f"{object_name(session.number, obj)}, output of {spec.name or spec.kind!r}, was not kept, so it is gone. "
            "Call `.keep()` before `submit()`."
        )
    state.outbox.tell_client(locate.client, request_failed(session, locate.request, failed, reason))
    return True


def _located(state: ServerState, session: ServerSession, locate: PendingLocate) -> SendLocated:
    objects = session.objects
    holders = array("I", map(objects.holder_to_show, locate.objects))
    sizes = array("Q", map(objects.size.__getitem__, locate.objects))
    inline = array("B", bytes(len(holders)))
    budget = MAX_PART_BYTES
    for place, obj in enumerate(locate.objects):
        if objects.flags[obj] & STASHED and sizes[place] <= min(budget, MAX_INLINE_CONSTANT):
            inline[place] = 1
            budget -= sizes[place]
    numbers = set(holders) - {SERVER}
    peers: tuple[Peer, ...] = tuple(state.workers[number].peer for number in sorted(numbers))
    located = Located(
        request=locate.request,
        holder=column(holders),
        size=column(sizes),
        inline=column(inline),
        data=EMPTY,
        content_types=tuple(content_type_of(session, obj) for obj in locate.objects),
        peers=peers,
        users=_users(session, locate.objects),
    )
    return SendLocated(locate.client, session.number, column(locate.objects), located)


def _users(session: ServerSession, objects: array[int]) -> tuple[tuple[int, bytes], ...]:
    infos = session.attached.object_infos
    if not infos:
        return ()
    return tuple([(place, infos[obj]) for place, obj in enumerate(objects) if obj in infos])


def content_type_of(session: ServerSession, obj: int) -> str | None:
    """The content type that was set, else the one that was planned."""
    objects, tasks = session.objects, session.tasks
    if objects.content_type[obj] or objects.producer[obj] == NONE:
        return session.content_types[objects.content_type[obj]]
    task = objects.producer[obj]
    return session.specs[tasks.spec[task]].outputs[obj - tasks.first_output[task]].content_type
