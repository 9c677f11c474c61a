"""What is always true between two steps; the only place that asserts, used by tests and the simulator.

Everything is counted again from first principles, in time proportional to the size of the state.
"""

from __future__ import annotations

from collections import Counter

from rain.core.errors import InvariantViolation
from rain.core.ids import NONE, object_name, task_name
from rain.core.note import note_bytes, progress_bytes
from rain.server.machine.attempts import attempt_bytes
from rain.server.machine.placement import bytes_at
from rain.server.machine.rooms import slots_of, staying
from rain.server.machine.stages import ASSIGNED, FAILED, FINISHED, READY, WAITING, reachable
from rain.server.machine.state import ServerSession, ServerState
from rain.server.machine.tables import AVAILABLE, CONSTANT, FORGOTTEN, KEPT, STASHED
from rain.server.machine.transitions import is_forgettable, outputs_of


def check(state: ServerState) -> None:
    """Raises InvariantViolation when the state contradicts itself."""
    outstanding: dict[int, Counter[int]] = {number: Counter() for number in state.workers}
    held: Counter[int] = Counter()
    _require(not state.touched, "sessions were left unsettled")
    for session in state.sessions.values():
        _check_columns(session)
        _check_edges(session)
        _check_tasks(session)
        _check_objects(state, session, held)
        _check_forgotten(session)
        _check_queues(session)
        _check_attached(session)
        _count_assigned(session, outstanding)
        owner = state.clients.get(session.client)
        _require((owner is None) == (session.orphaned_s is not None), f"s{session.number}: orphaned or not?")
        _require(owner is None or session.number in owner.sessions, f"s{session.number} is unknown to its client")
    for worker in state.workers.values():
        counted = dict(outstanding[worker.number])
        _require(counted == worker.outstanding, f"w{worker.number}: has {counted}, counts {worker.outstanding}")
        found = held[worker.number]
        _require(found == worker.n_objects, f"w{worker.number}: holds {found} objects, counts {worker.n_objects}")
        for resource_class, count in counted.items():
            _require(
                count == 0 or slots_of(state, worker, resource_class) > 0,
                f"w{worker.number} has tasks that can never run there",
            )
    _check_transfers(state)
    _check_nobody_idles(state)


def _check_transfers(state: ServerState) -> None:
    outgoing: Counter[int] = Counter()
    for worker in state.workers.values():
        found = sum(size for size, _ in worker.incoming.values())
        _require(found == worker.incoming_bytes, f"w{worker.number}: gets {found}, counts {worker.incoming_bytes}")
        for size, holder in worker.incoming.values():
            outgoing[holder] += size
        _require(worker.work_us.keys() == worker.outstanding.keys(), f"w{worker.number}: work of other classes")
    for worker in state.workers.values():
        found = outgoing[worker.number]
        _require(found == worker.outgoing_bytes, f"w{worker.number}: sends {found}, counts {worker.outgoing_bytes}")


def _check_attached(session: ServerSession) -> None:
    attached = session.attached
    said = [past for attempts in attached.past.values() for past in attempts]
    found = sum(map(note_bytes, attached.notes.values())) + sum(map(len, attached.object_infos.values()))
    found += sum(map(attempt_bytes, said)) + sum(progress_bytes(progress) for _, progress in attached.progress.values())
    _require(found == attached.notes_bytes, f"s{session.number}: {found} bytes of notes, counts {attached.notes_bytes}")
    attempt = session.tasks.attempt
    for task, past in attached.past.items():
        numbers = [each.attempt for each in past]
        in_order = numbers == sorted(set(numbers)) and numbers[-1] < attempt[task]
        _require(in_order, f"{task_name(session.number, task)}: the past attempts are {numbers}")


def check_history(before: bytes, after: bytes) -> None:
    """Raises InvariantViolation when a task of a session went where it may not go; stages before and after."""
    for task, (old, new) in enumerate(zip(before, after, strict=False)):
        _require(new in reachable(old), f"task {task} went from stage {old} to {new}")


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise InvariantViolation(text)


def _check_columns(session: ServerSession) -> None:
    tasks, objects = session.tasks, session.objects
    per_task = (tasks.flags, tasks.spec, tasks.first_output, tasks.missing, tasks.worker, tasks.attempt)
    per_task_too = (tasks.culprit, tasks.duration_us, tasks.ended_s, tasks.assigned_s, tasks.level)
    for column in (*per_task, *per_task_too):
        _require(len(column) == len(tasks), "a column of tasks has another length")
    _require(len(tasks.input_start) == len(tasks) + 1, "input_start has another length")
    _require(tasks.input_start[-1] == len(tasks.inputs), "input_start does not end with the inputs")
    _require(len(tasks.edge_task) == len(tasks.edge_next) == len(tasks.inputs), "edges have another length")
    per_object = (objects.producer, objects.size, objects.holder, objects.need, objects.lineage)
    for column in (*per_object, objects.consumer_head, objects.content_type):
        _require(len(column) == len(objects), "a column of objects has another length")
    per_spec = (
        session.spec_class,
        session.spec_outputs,
        session.spec_reports,
        session.spec_mean_us,
        session.levels.own_us,
    )
    for values in per_spec:
        _require(len(values) == len(session.specs), "a list of specs has another length")


def _check_edges(session: ServerSession) -> None:
    """Every input is in the list of its object's readers, once; the counts of readers are right."""
    tasks, objects = session.tasks, session.objects
    n_edges = 0
    for obj in range(len(objects)):
        need = lineage = 0
        edge = objects.consumer_head[obj]
        while edge != NONE:
            n_edges += 1
            reader = tasks.edge_task[edge]
            _require(tasks.inputs[edge] == obj, f"edge {edge} is in the list of another object")
            first, stop = tasks.input_start[reader], tasks.input_start[reader + 1]
            _require(first <= edge < stop, f"edge {edge} does not belong to its task")
            need += tasks.stage[reader] < FINISHED
            lineage += not tasks.flags[reader] & FORGOTTEN
            edge = tasks.edge_next[edge]
            _require(n_edges <= len(tasks.inputs), "edges form a circle")
        name = object_name(session.number, obj)
        _require(need == objects.need[obj], f"{name}: need is {objects.need[obj]}, counted {need}")
        _require(lineage == objects.lineage[obj], f"{name}: lineage is {objects.lineage[obj]}, counted {lineage}")
    _require(n_edges == len(tasks.inputs), "an edge is in no list")


def _check_tasks(session: ServerSession) -> None:
    tasks, objects = session.tasks, session.objects
    unfinished = sum(stage < FINISHED for stage in tasks.stage)
    _require(unfinished == session.unfinished, f"{unfinished} tasks are unfinished, counted {session.unfinished}")
    _require(not unfinished or session.failed_reason is None, "a failed session has unfinished tasks")
    for task, stage in enumerate(tasks.stage):
        name = task_name(session.number, task)
        for obj in outputs_of(session, task):
            _require(objects.producer[obj] == task, f"{name} does not make its output")
        if stage == FAILED:
            _require(task in session.failed_tasks, f"{name} failed without a reason")
        if stage >= FINISHED:
            continue
        absent = [obj for obj in tasks.inputs_of(task) if not objects.flags[obj] & AVAILABLE]
        _require(len(absent) == tasks.missing[task], f"{name}: misses {len(absent)}, counts {tasks.missing[task]}")
        _require(stage != READY or not absent, f"{name} is ready, but inputs are missing")
        _require(stage != WAITING or bool(absent), f"{name} waits for nothing")
        for obj in absent:
            maker = objects.producer[obj]
            _require(maker != NONE, f"{name} reads a constant that is gone")
            _require(tasks.stage[maker] < FINISHED, f"{name} waits for what nobody makes")


def _check_objects(state: ServerState, session: ServerSession, held: Counter[int]) -> None:
    tasks, objects = session.tasks, session.objects
    for obj, flags in enumerate(objects.flags):
        name = object_name(session.number, obj)
        holders = objects.holders_of(obj)
        held.update(holders)
        others = objects.replicas.get(obj)
        _require(others is None or (bool(others) and objects.holder[obj] not in others), f"{name}: replicas")
        _require(all(worker in state.workers for worker in holders), f"{name} is held by a worker that is gone")
        exists = bool(holders) or bool(flags & STASHED)
        _require(exists == bool(flags & AVAILABLE), f"{name}: available is not the same as held by somebody")
        needed = bool(objects.need[obj]) or bool(flags & KEPT)
        if flags & CONSTANT:
            _require(objects.producer[obj] == NONE, f"{name} is a constant with a producer")
            wanted = needed or bool(objects.lineage[obj])
            _require(wanted == bool(flags & AVAILABLE), f"{name}: a constant is held as long as it can be needed")
            continue
        _require(objects.producer[obj] != NONE, f"{name} has no producer")
        _require(needed or not exists, f"{name} is held, but nobody needs it")
        if needed and not exists and session.failed_reason is None:
            stage = tasks.stage[objects.producer[obj]]
            _require(stage != FINISHED, f"{name} is needed and gone, but nobody makes it again")


def _check_forgotten(session: ServerSession) -> None:
    tasks, objects = session.tasks, session.objects
    for task, stage in enumerate(tasks.stage):
        name = task_name(session.number, task)
        forgotten = bool(tasks.flags[task] & FORGOTTEN)
        if stage < FINISHED:
            _require(not forgotten, f"{name} is forgotten, but not finished")
        elif stage > FINISHED:
            _require(forgotten, f"{name} ended for good, but is not forgotten")
        elif forgotten:
            wanted = [obj for obj in outputs_of(session, task) if objects.lineage[obj] or objects.flags[obj] & KEPT]
            _require(not wanted, f"{name} is forgotten, but may be needed")
        else:
            _require(not is_forgettable(session, task), f"{name} can be forgotten, but is not")


def _check_queues(session: ServerSession) -> None:
    _require(not session.newly_ready, "ready tasks were left out of the queues")
    queued: dict[int, tuple[int, int]] = {}
    for queue in session.ready.queues():
        entries = [task for run in queue.runs() for task in run]
        _require(len(entries) == len(queue), "a queue has another count than entries")
        queued.update(dict.fromkeys(entries, (queue.resource_class, queue.priority)))
    for task, stage in enumerate(session.tasks.stage):
        if stage != READY:
            continue
        spec = session.tasks.spec[task]
        expected = (session.spec_class[spec], session.specs[spec].priority)
        _require(
            queued.get(task) == expected, f"{task_name(session.number, task)} is ready, but in no queue of its own"
        )


def _count_assigned(session: ServerSession, outstanding: dict[int, Counter[int]]) -> None:
    tasks = session.tasks
    for task, stage in enumerate(tasks.stage):
        if stage == ASSIGNED:
            worker = tasks.worker[task]
            _require(worker in outstanding, f"{task_name(session.number, task)} is assigned to a worker that is gone")
            outstanding[worker][session.spec_class[tasks.spec[task]]] += 1


def _check_nobody_idles(state: ServerState) -> None:
    """No worker is without work while there are ready tasks that it could run, but for tasks that read large data.

    Those may be held back for a worker that has other work to do; so there must be such a worker.
    """
    idle = [worker for worker in staying(state) if not worker.outstanding and not worker.suspect]
    if state.stopping or not idle:
        return
    is_any_busy = any(worker.outstanding for worker in staying(state))
    for session in state.sessions.values():
        ready = [task for task, stage in enumerate(session.tasks.stage) if stage == READY]
        if is_any_busy and any(bytes_at(session, task) or task in session.refusals for task in ready):
            continue
        for queue in session.ready.queues():
            if not any(session.tasks.stage[task] == READY for run in queue.runs() for task in run):
                continue
            for worker in idle:
                capable = slots_of(state, worker, queue.resource_class) > 0
                _require(not capable, f"w{worker.number} idles while s{session.number} has ready tasks")
