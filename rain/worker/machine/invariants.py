"""What must be true of a worker's state after every `handle`; for tests and simulations."""

from __future__ import annotations

from collections import Counter

from rain.core import resources
from rain.core.errors import InvariantViolation
from rain.core.ids import object_name, session_name, task_name
from rain.worker.machine.gpus import GpuPool
from rain.worker.machine.state import Executor, HeldSession, HeldTask, Stage, State
from rain.worker.machine.transitions import outputs


def check(state: State) -> None:
    """Raises InvariantViolation at the first contradiction."""
    _check_resources(state)
    for executor in state.executors.values():
        _check_executor(state, executor)
    for session in state.sessions.values():
        for task in session.tasks.values():
            _check_task(state, session, task)
        _check_objects(session)
    _check_lanes(state)
    _check_numbers(state)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise InvariantViolation(what)


def _check_resources(state: State) -> None:
    free = state.offer
    running: Counter[int] = Counter()
    for executor in state.executors.values():
        if executor.holds is not None:
            free = resources.subtract(free, executor.holds.request)
            running[id(executor.holds)] += 1
    _require(free == state.free, f"free resources are {free}, the books say {state.free}")
    amounts = (free.cpus, free.gpus, free.memory_bytes, *(amount for _, amount in free.named))
    _require(min(amounts) >= 0, f"over-committed: {free} is left")
    pool = GpuPool(state.offer.gpus)
    for executor in state.executors.values():
        if executor.gpus and executor.holds is not None:
            pool.take(executor.holds.request.gpus, executor.gpus)
    _require(pool.free == state.gpus.free, f"free gpus are {pool.free}, the books say {state.gpus.free}")
    _require(not pool.free or min(pool.free) >= 0, f"a gpu is given twice: {pool.free} is left of each")
    for each in state.classes.values():
        _require(each.n_running == running[id(each)], f"{each.request}: {each.n_running} run by the books")
        _require(each.n_running <= each.limit, f"{each.request}: {each.n_running} run, at most {each.limit} may")


def _check_executor(state: State, executor: Executor) -> None:
    name = f"executor {executor.number}"
    _require(len(executor.batches) <= 2, f"{name} has {len(executor.batches)} batches")
    _require(
        (executor.holds is None) == (not executor.batches), f"{name} holds resources without a batch, or none for one"
    )
    _require(executor.stage is not Stage.STARTING or not executor.batches, f"{name} has a batch before it is ready")
    is_idle = executor.stage is Stage.READY and not executor.batches
    asked = 0 if executor.holds is None else executor.holds.request.gpus
    _require(bool(asked) == bool(executor.gpus), f"{name} has the gpus {executor.gpus}, asked for is {asked}")
    _require((executor.number in state.idle) == is_idle, f"{name} is idle: {is_idle}, the books differ")
    for batch in executor.batches:
        _require(bool(batch.tasks), f"{name} has a batch without tasks")
        _require(
            batch.deadline is None or len(executor.batches) == 1, f"{name}: the time of a batch cannot be measured"
        )
        for task in batch.tasks.values():
            _require(task.spec.lane.request_class is executor.holds, f"{name} holds another request than its task's")
            _require(
                task.executor is executor,
                f"{name} runs {task_name(batch.session, task.queued.task)}, which does not know",
            )
            session = state.sessions.get(batch.session)
            is_current = session is not None and session.tasks.get(task.queued.task) is task
            _require(
                is_current or executor.stage is Stage.KILLED,
                f"{name} goes on with the cancelled {task_name(batch.session, task.queued.task)}",
            )
    for number in executor.known:
        _require(
            number in state.sessions or executor.stage is Stage.KILLED,
            f"{name} remembers the closed {session_name(number)}",
        )


def _check_task(state: State, session: HeldSession, task: HeldTask) -> None:
    name = task_name(session.number, task.queued.task)
    absent = set(task.queued.inputs) - session.present.keys()
    in_batch = task.executor is not None and any(
        batch.tasks.get(task.queued.task) is task and batch.session == session.number for batch in task.executor.batches
    )
    queues = (task.order, task) in task.spec.lane.heap
    _require(task.missing == len(absent), f"{name} misses {len(absent)} inputs, the books say {task.missing}")
    _require((task.executor is not None) == in_batch, f"{name} thinks it is with an executor, or not, and is wrong")
    _require(queues + in_batch + bool(absent) == 1, f"{name} must wait, queue or run, and just one of them")
    if task.executor is not None:
        _require(state.executors.get(task.executor.number) is task.executor, f"{name} runs at an executor that is gone")
    for obj in absent:
        _require(
            session.waiters.get(obj, []).count(task) == 1,
            f"{name} does not wait for {object_name(session.number, obj)}",
        )
    for obj in outputs(task):
        _require(obj in session.making, f"{object_name(session.number, obj)} is made here, the books do not say so")


def _check_objects(session: HeldSession) -> None:
    needed = Counter(obj for task in session.tasks.values() for obj in set(task.queued.inputs))
    _require(dict(needed) == session.needed, f"{session_name(session.number)}: the counts of readers are wrong")
    for obj, waiting in session.waiters.items():
        name = object_name(session.number, obj)
        _require(obj not in session.present, f"tasks wait for {name}, which is here")
        _require(bool(waiting), f"an empty list waits for {name}")
        for task in waiting:
            _require(session.tasks.get(task.queued.task) is task, f"a task that is gone waits for {name}")
    for obj, task in session.making.items():
        _require(
            session.tasks.get(task.queued.task) is task and obj in outputs(task),
            f"{object_name(session.number, obj)} is made by a task that is gone",
        )
    _require(
        session.leftovers <= session.making.keys(), f"{session_name(session.number)}: files are left over for ever"
    )
    _require(
        not session.leftovers & session.present.keys(), f"{session_name(session.number)}: a held file is left over"
    )
    for obj in session.doomed:
        _require(
            obj in session.fetching or (obj in session.needed and obj in session.present),
            f"{object_name(session.number, obj)} is to be dropped later, but nothing will do it",
        )


def _check_lanes(state: State) -> None:
    lanes = [lane for session in state.sessions.values() for lane in session.lanes.values()]
    _require(
        set(state.lanes) == {lane for lane in lanes if lane.heap}, "the lanes with ready tasks are not the listed ones"
    )
    for lane in lanes:
        session = state.sessions[lane.session]
        _require(
            bool(lane.heap) or lane.blocked_since is None, f"{session_name(lane.session)}: an empty lane is blocked"
        )
        for order, task in lane.heap:
            _require(
                session.tasks.get(task.queued.task) is task and task.order == order and task.spec.lane is lane,
                f"{task_name(lane.session, task.queued.task)} queues without right",
            )


def _check_numbers(state: State) -> None:
    starting = sum(executor.stage is Stage.STARTING for executor in state.executors.values())
    _require(starting == state.n_starting, f"{starting} executors start, the books say {state.n_starting}")
    _require(len(state.executors) <= state.max_executors, f"{len(state.executors)} executors are too many")
    _require(
        all(number < state.next_executor for number in state.executors), "an executor's number is to be used again"
    )
