"""What must be true of a worker's state after every `handle`; for tests and simulations."""

from __future__ import annotations

from collections import Counter

from rain.core import resources
from rain.core.errors import InvariantViolation
from rain.core.ids import object_name, session_name, task_name
from rain.worker.machine.gpus import GpuPool
from rain.worker.machine.state import Batch, Executor, HeldRun, HeldSession, Stage, State
from rain.worker.machine.transitions import outputs


def check(state: State) -> None:
    """Raises InvariantViolation at the first contradiction."""
    _check_resources(state)
    for executor in state.executors.values():
        _check_executor(state, executor)
    for session in state.sessions.values():
        for run in held_runs(session):
            _check_run(state, session, run)
        _check_objects(session)
    _check_lanes(state)
    _check_numbers(state)


def held_runs(session: HeldSession) -> list[HeldRun]:
    """All runs of the session."""
    return [run for _, _, run in session.tasks.stretches(0, max(session.tasks, default=-1) + 1)]


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
        _require(bool(batch.runs), f"{name} has a batch without tasks")
        _require(
            batch.deadline is None or len(executor.batches) == 1, f"{name}: the time of a batch cannot be measured"
        )
        _check_inner_edges(state, executor, batch)
        for run in batch.runs:
            _require(run.spec.lane.request_class is executor.holds, f"{name} holds another request than its task's")
            task = task_name(batch.session, run.task)
            _require(run.executor is executor, f"{name} runs {task}, which does not know")
            session = state.sessions.get(batch.session)
            is_current = session is not None and session.tasks.get(run.task) is run
            _require(is_current or executor.stage is Stage.KILLED, f"{name} goes on with the cancelled {task}")
    for number in executor.known:
        _require(
            number in state.sessions or executor.stage is Stage.KILLED,
            f"{name} remembers the closed {session_name(number)}",
        )


def _check_inner_edges(state: State, executor: Executor, batch: Batch) -> None:
    """What tasks of a batch miss, earlier ones make; or nobody does any more, which their executor will find out."""
    session = state.sessions.get(batch.session)
    if session is None or executor.stage is Stage.KILLED:
        return
    made: set[int] = set()
    for run in batch.runs:
        for obj in run.inputs:
            _require(
                obj in session.present or obj in made or obj not in session.making,
                f"{task_name(batch.session, run.task)} is in a batch before {object_name(batch.session, obj)} is made",
            )
        made.update(outputs(run))


def _check_run(state: State, session: HeldSession, run: HeldRun) -> None:
    name = task_name(session.number, run.task)
    absent = {obj for obj in run.inputs if obj not in session.present}
    in_batch = run.executor is not None and any(
        each is run and batch.session == session.number for batch in run.executor.batches for each in batch.runs
    )
    queues = sum(each is run for _, each in run.spec.lane.heap)
    _require(run.count > 0, f"{name}: an empty run")
    _require(run.count == 1 or not (run.inputs or run.user), f"{name}: tasks of a run have nothing of their own")
    _require(
        all(session.tasks.get(task) is run for task in range(run.task, run.end)), f"{name}: not all of a run is held"
    )
    _require(run.missing == len(absent), f"{name} misses {len(absent)} inputs, the books say {run.missing}")
    _require((run.executor is not None) == in_batch, f"{name} thinks it is with an executor, or not, and is wrong")
    waits = bool(absent) and not in_batch
    _require(queues + in_batch + waits == 1, f"{name} must wait, queue or run, and just one of them")
    if run.executor is not None:
        _require(state.executors.get(run.executor.number) is run.executor, f"{name} runs at an executor that is gone")
    for obj in absent:
        _require(
            session.waiters.get(obj, []).count(run) == 1,
            f"{name} does not wait for {object_name(session.number, obj)}",
        )
    for obj in outputs(run):
        _require(obj in session.making, f"{object_name(session.number, obj)} is made here, the books do not say so")


def _check_objects(session: HeldSession) -> None:
    runs = held_runs(session)
    needed = Counter(obj for run in runs for obj in set(run.inputs))
    _require(dict(needed) == session.needed, f"{session_name(session.number)}: the counts of readers are wrong")
    for obj, waiting in session.waiters.items():
        name = object_name(session.number, obj)
        _require(obj not in session.present, f"tasks wait for {name}, which is here")
        _require(bool(waiting), f"an empty list waits for {name}")
        for task in waiting:
            _require(session.tasks.get(task.task) is task, f"a task that is gone waits for {name}")
    made = {obj for run in runs for obj in outputs(run)}
    for obj in session.making:
        _require(obj in made, f"{object_name(session.number, obj)} is made by a task that is gone")
    for obj in session.leftovers:
        name = object_name(session.number, obj)
        _require(obj in session.making, f"the file of {name} is left over for ever")
        _require(obj not in session.present, f"{name} is held and left over")
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
        n_ready = sum(run.count for _, run in lane.heap)
        _require(n_ready == lane.n_ready, f"{n_ready} of {session_name(lane.session)} are ready, not {lane.n_ready}")
        for order, run in lane.heap:
            _require(
                session.tasks.get(run.task) is run and run.order == order and run.spec.lane is lane,
                f"{task_name(lane.session, run.task)} queues without right",
            )


def _check_numbers(state: State) -> None:
    starting = sum(executor.stage is Stage.STARTING for executor in state.executors.values())
    _require(starting == state.n_starting, f"{starting} executors start, the books say {state.n_starting}")
    _require(len(state.executors) <= state.max_executors, f"{len(state.executors)} executors are too many")
    _require(
        all(number < state.next_executor for number in state.executors), "an executor's number is to be used again"
    )
