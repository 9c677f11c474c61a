"""The moves of tasks and objects that every other module is built from.

`need` of an object counts its unfinished readers: while there are any, or while it is kept, its data is held. `lineage`
counts the readers that are not forgotten: while there are any, the task that makes it may have to run again. A task is
forgotten when it will never run again; that may let the ones before it be forgotten, and so on, without recursion.
"""

from __future__ import annotations

from collections.abc import Iterable

from rain.core.ids import NONE
from rain.server.machine.stages import ASSIGNED, CANCELLED, FAILED, FINISHED, READY, WAITING
from rain.server.machine.state import ServerSession, ServerState, Worker
from rain.server.machine.tables import AVAILABLE, AWAITED, CONSTANT, FORGOTTEN, KEPT, STASHED


def make_available(session: ServerSession, obj: int) -> None:
    """The object exists now: its readers miss one input less, and become READY where it was the last."""
    objects, tasks = session.objects, session.tasks
    objects.flags[obj] |= AVAILABLE
    edge = objects.consumer_head[obj]
    while edge != NONE:
        reader = tasks.edge_task[edge]
        stage = tasks.stage[reader]
        if stage < FINISHED:
            tasks.missing[reader] -= 1
            if stage == WAITING and not tasks.missing[reader]:
                tasks.stage[reader] = READY
                session.newly_ready.append(reader)
        edge = tasks.edge_next[edge]


def make_unavailable(session: ServerSession, obj: int) -> None:
    """The object does not exist any more: its unfinished readers miss one input more, and are not READY."""
    objects, tasks = session.objects, session.tasks
    objects.flags[obj] &= ~(AVAILABLE | STASHED)
    edge = objects.consumer_head[obj]
    while edge != NONE:
        reader = tasks.edge_task[edge]
        stage = tasks.stage[reader]
        if stage < FINISHED:
            tasks.missing[reader] += 1
            if stage == READY:
                tasks.stage[reader] = WAITING
        edge = tasks.edge_next[edge]


def outputs_of(session: ServerSession, task: int) -> range:
    """The objects that a task makes."""
    first = session.tasks.first_output[task]
    return range(first, first + session.spec_outputs[session.tasks.spec[task]])


def readers_of(session: ServerSession, task: int) -> list[int]:
    """The tasks that read an output of this one, once each."""
    tasks, objects = session.tasks, session.objects
    found: dict[int, None] = {}
    for obj in outputs_of(session, task):
        edge = objects.consumer_head[obj]
        while edge != NONE:
            found[tasks.edge_task[edge]] = None
            edge = tasks.edge_next[edge]
    return list(found)


def add_holder(state: ServerState, session: ServerSession, obj: int, worker: int) -> None:
    """Notes that a worker holds the object."""
    if session.objects.add_holder(obj, worker):
        state.workers[worker].n_objects += 1


def remove_holder(state: ServerState, session: ServerSession, obj: int, worker: int) -> None:
    """Notes that a worker does not hold the object."""
    if session.objects.remove_holder(obj, worker) and worker in state.workers:
        state.workers[worker].n_objects -= 1


def release(state: ServerState, session: ServerSession, obj: int) -> None:
    """Nobody needs the data of this object now: workers drop it; the stash too, except a constant with lineage."""
    objects = session.objects
    flags = objects.flags[obj]
    holder = objects.holder[obj]
    if holder != NONE and obj not in objects.replicas:
        objects.holder[obj] = NONE
        if holder in state.workers:
            state.workers[holder].n_objects -= 1
        state.outbox.drop(holder, session.number, obj)
    elif holder != NONE:
        for worker in objects.holders_of(obj):
            remove_holder(state, session, obj, worker)
            state.outbox.drop(worker, session.number, obj)
    if flags & CONSTANT and objects.lineage[obj]:
        return
    if flags & STASHED:
        state.outbox.drop_stashed(session.number).append(obj)
    objects.flags[obj] = flags & ~(AVAILABLE | STASHED)


def let_go_of_inputs(state: ServerState, session: ServerSession, task: int) -> None:
    """The task does not read its inputs (again): those that nobody else needs are released."""
    need, flags = session.objects.need, session.objects.flags
    for obj in session.tasks.inputs_of(task):
        need[obj] -= 1
        if not need[obj] and not flags[obj] & KEPT:
            release(state, session, obj)


def forget(state: ServerState, session: ServerSession, task: int) -> None:
    """The task will never run again. Tells the stash, and forgets the tasks before it that only it could need."""
    tasks, objects = session.tasks, session.objects
    forgotten = state.outbox.forgotten(session.number)
    todo = [task]
    while todo:
        task = todo.pop()
        if tasks.flags[task] & FORGOTTEN:
            continue
        tasks.flags[task] |= FORGOTTEN
        forgotten.append(task)
        for obj in tasks.inputs_of(task):
            objects.lineage[obj] -= 1
            if objects.lineage[obj] or objects.flags[obj] & KEPT:
                continue
            if objects.flags[obj] & CONSTANT:
                if objects.flags[obj] & AVAILABLE:
                    release(state, session, obj)
            elif is_forgettable(session, objects.producer[obj]):
                todo.append(objects.producer[obj])


def is_forgettable(session: ServerSession, task: int) -> bool:
    """Whether the task is FINISHED and none of its outputs can ever be asked for again."""
    tasks, objects = session.tasks, session.objects
    if tasks.stage[task] != FINISHED or tasks.flags[task] & FORGOTTEN:
        return False
    return not any(objects.lineage[obj] or objects.flags[obj] & KEPT for obj in outputs_of(session, task))


def unassign(state: ServerState, session: ServerSession, task: int) -> None:
    """The task is not with its worker any more; its stage is the caller's to set."""
    worker = state.workers.get(session.tasks.worker[task])
    if worker is not None:
        count_off(worker, session.spec_class[session.tasks.spec[task]], 1)
        if (worker.number, task) in session.ignored_results:
            _drop_ignored_results(state, session, worker.number, task)


def _drop_ignored_results(state: ServerState, session: ServerSession, worker: int, task: int) -> None:
    """The worker does not make these results anew after all, so what it has of an old attempt goes."""
    session.ignored_results.discard((worker, task))
    for obj in outputs_of(session, task):
        if not session.objects.is_held_by(obj, worker):
            state.outbox.drop(worker, session.number, obj)


def count_on(worker: Worker, resource_class: int, n: int, work_us: float) -> None:
    """The worker has `n` more tasks of a class, which are expected to take so long all together."""
    worker.outstanding[resource_class] = worker.outstanding.get(resource_class, 0) + n
    worker.work_us[resource_class] = worker.work_us.get(resource_class, 0.0) + work_us


def count_off(worker: Worker, resource_class: int, n: int) -> None:
    """The worker has `n` tasks of a class less; classes without any are not there."""
    worker.has_news = True
    before = worker.outstanding[resource_class]
    if before > n:
        worker.outstanding[resource_class] = before - n
        worker.work_us[resource_class] *= (before - n) / before
    else:
        del worker.outstanding[resource_class], worker.work_us[resource_class]


def give_back(state: ServerState, session: ServerSession, task: int) -> None:
    """An ASSIGNED task is to be planned anew."""
    unassign(state, session, task)
    cancel_followers(state, session, task)
    put_back(session, task)


def put_back(session: ServerSession, task: int) -> None:
    """The stage of a task that is not assigned: READY, or WAITING where inputs are missing."""
    if session.tasks.missing[task]:
        session.tasks.stage[task] = WAITING
    else:
        session.tasks.stage[task] = READY
        session.newly_ready.append(task)


def cancel_followers(state: ServerState, session: ServerSession, task: int) -> None:
    """Takes back the tasks that wait at the same worker for outputs which this task will not make there now."""
    tasks, flags = session.tasks, session.objects.flags
    worker = tasks.worker[task]
    todo = [task]
    while todo:
        for obj in outputs_of(session, todo.pop()):
            if flags[obj] & AVAILABLE:
                continue
            for reader in assigned_readers(session, obj, worker):
                take_back(state, session, reader)
                todo.append(reader)


def assigned_readers(session: ServerSession, obj: int, worker: int) -> list[int]:
    """The tasks that read this object and are ASSIGNED to this worker, once each."""
    tasks = session.tasks
    found: dict[int, None] = {}
    edge = session.objects.consumer_head[obj]
    while edge != NONE:
        reader = tasks.edge_task[edge]
        if tasks.stage[reader] == ASSIGNED and tasks.worker[reader] == worker:
            found[reader] = None
        edge = tasks.edge_next[edge]
    return list(found)


def take_back(state: ServerState, session: ServerSession, task: int) -> None:
    """Tells the worker to forget an ASSIGNED task, which is to be planned anew under a new attempt."""
    tasks = session.tasks
    state.outbox.cancel(tasks.worker[task], session.number, task, tasks.attempt[task])
    unassign(state, session, task)
    tasks.attempt[task] += 1
    put_back(session, task)


def stop(state: ServerState, session: ServerSession, task: int, culprit: int) -> None:
    """An unfinished task is CANCELLED; its worker is told."""
    tasks = session.tasks
    if tasks.stage[task] == ASSIGNED:
        state.outbox.cancel(tasks.worker[task], session.number, task, tasks.attempt[task])
        unassign(state, session, task)
    tasks.stage[task] = CANCELLED
    tasks.culprit[task] = culprit
    if culprit != NONE:
        session.n_followers[culprit] = session.n_followers.get(culprit, 0) + 1
    end_for_good(state, session, task)


def end_for_good(state: ServerState, session: ServerSession, task: int) -> None:
    """What follows when a task is FAILED or CANCELLED."""
    session.unfinished -= 1
    if session.tasks.flags[task] & AWAITED:
        session.awaited_failed = True
    let_go_of_inputs(state, session, task)
    forget(state, session, task)


def culprit_of(session: ServerSession, task: int) -> int:
    """The failed task for whose sake those that depend on this one are cancelled; NONE where it was cancelled."""
    tasks = session.tasks
    return task if tasks.stage[task] == FAILED else tasks.culprit[task]


def stop_with_readers(
    state: ServerState, session: ServerSession, roots: Iterable[int], culprit: int, *, through_finished: bool = False
) -> None:
    """Cancels these tasks where they are unfinished, and everything that depends on them."""
    stage = session.tasks.stage
    todo = list(roots)
    seen = set(todo)
    while todo:
        task = todo.pop()
        finished = stage[task] == FINISHED
        if stage[task] < FINISHED:
            stop(state, session, task, culprit)
        if finished and not through_finished:
            continue
        for reader in readers_of(session, task):
            if reader not in seen:
                seen.add(reader)
                todo.append(reader)
