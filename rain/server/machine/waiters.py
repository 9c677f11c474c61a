"""Clients that wait: answers to `Wait` and `Locate`, at once or when it is time, and the news of progress.

A wait remembers how far it has looked: what is done stays done for it, so that it looks at each task once, and at
nothing more than the count of unfinished tasks where it is for everything.
"""

from __future__ import annotations

import re
from array import array

from msgspec.structs import replace

from rain.core.ids import NONE, SERVER, object_name
from rain.protocol.client import MAX_INLINE_CONSTANT, MAX_PART_BYTES, Located, Progress, RequestFailed, WaitDone
from rain.protocol.columns import EMPTY, column
from rain.protocol.transfer import Peer
from rain.server.machine.effects import SendLocated, SendWaitDone
from rain.server.machine.stages import FINISHED
from rain.server.machine.state import FailedTask, PendingLocate, PendingWait, ServerSession, ServerState
from rain.server.machine.stretches import all_are, is_stretch
from rain.server.machine.tables import AVAILABLE, AWAITED, CONSTANT, KEPT, STASHED
from rain.server.machine.task_info import failed_task_info, failure_of
from rain.server.machine.transitions import outputs_of

#: Unfinished tasks that a client may have, and the share of them that ends between two messages of `Progress`.
SUBMIT_WINDOW = 2_000_000
PROGRESS_STEP = SUBMIT_WINDOW // 16
#: Results travel with the answer to a wait for at most so many tasks, and so many bytes of them.
MAX_TASKS_ALONG = 64
MAX_BYTES_ALONG = 64 << 10

_AT_HAND = KEPT | AVAILABLE | STASHED
_IS_STASHED = bytes(bool(flags & STASHED) for flags in range(256))
_UNFINISHED = re.compile(b"[\x00-\x02]")
_IS_FINISHED = bytes(stage == FINISHED for stage in range(256))
_ENDED_BADLY = bytes(stage > FINISHED for stage in range(256))


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


def request_failed(
    state: ServerState, session: ServerSession, request: int, failed: FailedTask | None, reason: str
) -> RequestFailed:
    """The answer to a request that cannot be met, with the failure of a task where there is one."""
    if failed is None:
        return RequestFailed(request, reason)
    info = failed_task_info(state, session, failed.task)
    return RequestFailed(request, reason, failed.task, failed.attempt, failed.worker, failed.failure, info)


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
        state.outbox.tell_client(wait.client, request_failed(state, session, wait.request, failed, reason))
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
    if wait.some is not None:
        task = wait.some.first_where(stage, _ENDED_BADLY)
        return None if task is None else failure_of(session, task)
    for task in wait.tasks or ():
        if stage[task] > FINISHED:
            return failure_of(session, task)
    return None


def _answer_if_finished(state: ServerState, session: ServerSession, wait: PendingWait) -> bool:
    tasks = wait.tasks if wait.tasks is not None else array("I")
    stage = session.tasks.stage
    if wait.some is not None:
        n_left = len(wait.some)
        finished = wait.some.take_where(stage, _IS_FINISHED)
        if n_left and not finished:
            return False
        if wait.stays and wait.some:
            session.followed[wait.request] = wait.some
        _say_done(state, session, wait, WaitDone(wait.request, column(finished)), finished)
        return True
    while wait.cursor < len(tasks) and stage[tasks[wait.cursor]] >= FINISHED:
        wait.cursor += 1
    if wait.cursor < len(tasks):
        return False
    _say_done(state, session, wait, WaitDone(wait.request), tasks)
    return True


def _say_done(
    state: ServerState, session: ServerSession, wait: PendingWait, done: WaitDone, finished: array[int]
) -> None:
    """Answers a wait; small results of few tasks, kept to be fetched, travel with the answer."""
    objects = _small_results(session, finished)
    if not objects:
        state.outbox.tell_client(wait.client, done)
        return
    located = _located(state, session, wait.request, objects)
    state.outbox.say(SendWaitDone(wait.client, session.number, replace(done, objects=column(objects), located=located)))


def _small_results(session: ServerSession, tasks: array[int]) -> array[int]:
    """The kept outputs of these tasks that the stash has, where tasks and bytes are few."""
    found = array("I")
    if len(tasks) > MAX_TASKS_ALONG:
        return found
    flags, size = session.objects.flags, session.objects.size
    room = MAX_BYTES_ALONG
    for task in tasks:
        for obj in outputs_of(session, task):
            if flags[obj] & _AT_HAND == _AT_HAND:
                room -= size[obj]
                if room < 0:
                    return found
                found.append(obj)
    return found


def _answer_locate(state: ServerState, session: ServerSession, locate: PendingLocate) -> bool:
    flags = session.objects.flags
    if len(locate.objects) > 1 and _all_at_hand(session, locate.objects):
        locate.cursor = len(locate.objects)
    while locate.cursor < len(locate.objects):
        obj = locate.objects[locate.cursor]
        if not flags[obj] & AVAILABLE:
            return _answer_unavailable(state, session, locate, obj)
        locate.cursor += 1
        if locate.cursor == len(locate.objects):
            lost = (place for place, obj in enumerate(locate.objects) if not flags[obj] & AVAILABLE)
            locate.cursor = next(lost, locate.cursor)
    located = _located(state, session, locate.request, locate.objects)
    state.outbox.say(SendLocated(locate.client, session.number, column(locate.objects), located))
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
    state.outbox.tell_client(locate.client, request_failed(state, session, locate.request, failed, reason))
    return True


def _located(state: ServerState, session: ServerSession, request: int, wanted: array[int]) -> Located:
    objects = session.objects
    sizes = array("Q", map(objects.size.__getitem__, wanted))
    if _all_at_hand(session, wanted) and sum(sizes) <= MAX_PART_BYTES and max(sizes) <= MAX_INLINE_CONSTANT:
        holders, inline = array("I", bytes(4 * len(wanted))), array("B", (1,)) * len(wanted)
    else:
        holders, inline = array("I", map(objects.holder_to_show, wanted)), array("B", bytes(len(wanted)))
        budget = MAX_PART_BYTES
        for place, obj in enumerate(wanted):
            if objects.flags[obj] & STASHED and sizes[place] <= min(budget, MAX_INLINE_CONSTANT):
                inline[place] = 1
                budget -= sizes[place]
    numbers = set(holders) - {SERVER}
    peers: tuple[Peer, ...] = tuple(state.workers[number].peer for number in sorted(numbers))
    return Located(
        request=request,
        holder=column(holders),
        size=column(sizes),
        inline=column(inline),
        data=EMPTY,
        content_types=_content_types(session, wanted),
        peers=peers,
        users=_users(session, wanted),
    )


def _all_at_hand(session: ServerSession, wanted: array[int]) -> bool:
    """Whether these are neighbours of which the stash has the bytes."""
    if not wanted or not is_stretch(wanted):
        return False
    return session.objects.flags[wanted[0] : wanted[-1] + 1].translate(_IS_STASHED).find(0) < 0


def _content_types(session: ServerSession, wanted: array[int]) -> tuple[str | None, ...]:
    n = len(wanted)
    if n > 1 and is_stretch(wanted):
        number = session.objects.content_type[wanted[0]]
        if number and all_are(session.objects.content_type, wanted[0], n, number):
            return (session.content_types[number],) * n
    return tuple([content_type_of(session, obj) for obj in wanted])


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
