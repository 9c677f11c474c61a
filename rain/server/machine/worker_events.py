"""What workers say, apart from `Done` (see `finish`)."""

from __future__ import annotations

from rain.core.ids import SERVER
from rain.protocol.client import Ack
from rain.protocol.columns import check_below, unpack
from rain.protocol.transfer import Peer
from rain.protocol.worker import Failed, Fetched, Unavailable
from rain.server.machine.attachments import keep_note
from rain.server.machine.attempts import retire_attempt
from rain.server.machine.attention import look_at_all
from rain.server.machine.events import WorkerJoined
from rain.server.machine.failures import attempt_failed, input_unavailable
from rain.server.machine.incoming import arrived, given_up, worker_gone
from rain.server.machine.recovery import distrust, worker_lost
from rain.server.machine.refusals import copy_refused
from rain.server.machine.stages import ASSIGNED, FINISHED
from rain.server.machine.state import ServerSession, ServerState, Worker
from rain.server.machine.tables import AVAILABLE, CONSTANT, KEPT
from rain.server.machine.transitions import add_holder, give_back, make_available


def worker_joined(state: ServerState, event: WorkerJoined) -> None:
    """A new worker, with nothing; one of that number that was there before is gone."""
    worker_left(state, event.worker)
    look_at_all(state)
    state.workers[event.worker] = Worker(
        number=event.worker,
        host=event.host,
        pid=event.pid,
        offer=event.offer,
        peer=Peer(event.worker, event.data_host, event.data_port, event.data_key),
        heard_s=state.now,
        asked_s=state.now,
        log=event.log,
    )


def worker_left(state: ServerState, number: int) -> None:
    """The worker is gone with its tasks and its data."""
    worker = state.workers.get(number)
    if worker is None:
        return
    look_at_all(state)
    worker_gone(state, worker)
    del state.workers[number]
    state.outbox.worker_left(number)
    worker_lost(state, number)
    for client, request in worker.drain.waiters if worker.drain is not None else ():
        if client in state.clients:
            state.outbox.tell_client(client, Ack(request))


def attempt_ended_badly(state: ServerState, worker: Worker, message: Failed) -> None:
    """An attempt failed; ignored unless it is the one that is expected of this worker."""
    session = state.sessions.get(message.session)
    if session is None:
        return
    state.touched.add(session.number)
    if _is_expected(session, worker, message.task, message.attempt):
        keep_note(session, message.task, message.note)
        session.tasks.duration_us[message.task] = min(max(0, message.duration_us), 0xFFFFFFFF)
        attempt_failed(state, session, message.task, worker.number, message.failure)
        if session.tasks.is_unfinished(message.task):
            retire_attempt(session, message.task, message.attempt, worker.number, message.failure.message)


def inputs_unavailable(state: ServerState, worker: Worker, message: Unavailable) -> None:
    """Inputs could not be had from their holders; the tasks that wanted them are planned anew."""
    objects = unpack("I", message.objects, "objects")
    holders = unpack("I", message.holder, "holder", len(objects))
    tasks = unpack("I", message.task, "task")
    attempts = unpack("I", message.attempt, "attempt", len(tasks))
    session = state.sessions.get(message.session)
    if session is None:
        return
    check_below(objects, len(session.objects), "objects")
    state.touched.add(session.number)
    given_up(state, worker, session.number, objects)
    # What a worker that is gone held is no fault of the reader, and is made again.
    refused = {
        obj: holder
        for obj, holder in zip(objects, holders, strict=True)
        if message.unwritten or holder == SERVER or holder in state.workers
    }
    for task, attempt in zip(tasks, attempts, strict=True):
        if not _is_expected(session, worker, task, attempt):
            continue
        obj = next((obj for obj in session.tasks.inputs_of(task) if obj in refused), None)
        if obj is None:
            give_back(state, session, task)
        else:
            holder, reason = refused[obj], message.unwritten
            input_unavailable(state, session, task, worker.number, obj=obj, holder=holder, unwritten=reason)
        if session.failed_reason is not None:
            return
    for obj, holder in zip(objects, holders, strict=True):
        if message.unwritten:
            # The holder has it all the same.
            copy_refused(state, session.number, obj, holder, worker.number)
        elif holder in state.workers:
            distrust(state, session, obj, holder)


def objects_fetched(state: ServerState, worker: Worker, message: Fetched) -> None:
    """The worker holds more objects; those that nobody needs are dropped again.

    One that was lost meanwhile is not: this copy takes the place of the lost one.
    """
    objects = unpack("I", message.objects, "objects")
    session = state.sessions.get(message.session)
    if session is None:
        return
    check_below(objects, len(session.objects), "objects")
    state.touched.add(session.number)
    if worker.incoming:
        arrived(state, worker, session.number, objects)
    table = session.objects
    for obj in objects:
        flags = table.flags[obj]
        if not (table.need[obj] or flags & KEPT) or not _was_made(session, obj):
            state.outbox.drop(worker.number, session.number, obj)
            continue
        add_holder(state, session, obj, worker.number)
        if not flags & AVAILABLE:
            make_available(session, obj)


def _was_made(session: ServerSession, obj: int) -> bool:
    if session.objects.flags[obj] & (AVAILABLE | CONSTANT):
        return True
    producer = session.objects.producer[obj]
    return session.tasks.ended_s[producer] > 0.0 and session.tasks.stage[producer] <= FINISHED


def _is_expected(session: ServerSession, worker: Worker, task: int, attempt: int) -> bool:
    tasks = session.tasks
    return (
        0 <= task < len(tasks)
        and tasks.stage[task] == ASSIGNED
        and tasks.worker[task] == worker.number
        and tasks.attempt[task] == attempt
    )
