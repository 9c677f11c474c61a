"""Which ready tasks go to which executor.

*Order.* Tasks start in the server's order where resources allow. The oldest ready task that does not fit is passed by
younger ones for `PATIENCE_S` at most; then what it asks for is reserved: as executors end their batches, nothing that
competes with it starts before it. So its wait is bounded by that time and the longest batch that runs.

*Batches.* An executor holds the resources of one task of its class while it has a batch. Nothing known of a task's
duration: a batch of one. Else as many as fit into `BATCH_US` of work, and never more than an even share of what is
ready (guided self-scheduling: the share shrinks as the queue does, so no long tail is left to one executor). A run of
tasks of which only some fit is cut. What room is left, tasks fill that wait for results of the batch alone, see
`followers`.

*Double buffering.* A batch of short tasks may queue behind another one, so that an executor need not wait for a round
trip; only for the oldest lane, so that no younger task keeps an executor busy that an older one waits for.
"""

from __future__ import annotations

from heapq import heappop

from rain.core import resources
from rain.core.resources import Offer
from rain.worker.machine.effects import RunBatch
from rain.worker.machine.executors import kill, start_executors
from rain.worker.machine.followers import add_followers, is_short
from rain.worker.machine.outbox import TurnEffects
from rain.worker.machine.state import Batch, Executor, HeldRun, HeldSession, Lane, RequestClass, Stage, State
from rain.worker.machine.transitions import close_lane, cut_off

#: How much work a batch holds at most, as far as is known; one task may be longer.
BATCH_US = 2000.0
MAX_BATCH = 2048
#: How long a task that does not fit lets younger ones pass.
PATIENCE_S = 1.0


def dispatch(state: State, now: float, outbox: TurnEffects) -> None:
    """Gives executors what they can run."""
    if not state.lanes:
        return
    free = state.free
    blocked: set[Lane] = set()
    while len(blocked) < len(state.lanes):
        lane = min((lane for lane in state.lanes if lane not in blocked), key=lambda lane: lane.heap[0][0])
        request_class = lane.request_class
        fits = request_class.n_running < request_class.limit and resources.slots(free, request_class.request) > 0
        executor: Executor | None = None
        gpus: tuple[int, ...] = ()
        if fits and request_class.request.gpus:
            fits, executor, gpus = _idle_for_gpus(state, request_class.request.gpus)
        elif fits and state.idle:
            executor = next(reversed(state.idle.values()))
        if executor is not None:
            _hold(state, executor, request_class, gpus)
            free = resources.subtract(free, request_class.request)
        else:
            buffered = None if blocked else _executor_with_room(state, lane)
            if buffered is None:
                blocked.add(lane)
                free = _block(state, lane, fits=fits, free=free, now=now)
                if fits and state.idle:
                    _replace_one(state, outbox)
                elif fits:
                    _want_executors(state, lane, outbox)
                continue
            executor = buffered
        outbox.run(_give_batch(state, lane, executor, now))


def _idle_for_gpus(state: State, amount: int) -> tuple[bool, Executor | None, tuple[int, ...]]:
    """Whether gpus of this amount are free, an idle executor that can use them, and which they are.

    Libraries choose their gpus once in the life of a process, so one that had some is given no others.
    """
    gpus = state.gpus.choose(amount)
    if gpus is None:
        return False, None, ()
    for executor in reversed(state.idle.values()):
        bound = executor.bound_gpus
        if bound and state.gpus.choose(amount, bound) == bound:
            return True, executor, bound
    unbound = next((executor for executor in reversed(state.idle.values()) if not executor.bound_gpus), None)
    return True, unbound, () if unbound is None else gpus


def _hold(state: State, executor: Executor, request_class: RequestClass, gpus: tuple[int, ...]) -> None:
    """An idle executor takes the resources for one task of this class."""
    del state.idle[executor.number]
    executor.holds = request_class
    request_class.n_running += 1
    state.free = resources.subtract(state.free, request_class.request)
    if gpus:
        state.gpus.take(request_class.request.gpus, gpus)
        executor.gpus = executor.bound_gpus = gpus


def _replace_one(state: State, outbox: TurnEffects) -> None:
    """The idle executors are all bound to other gpus than the free ones: one makes way for a fresh one."""
    if state.n_starting or any(executor.stage is Stage.KILLED for executor in state.executors.values()):
        return
    kill(state, next(iter(state.idle.values())), outbox)


def _block(state: State, lane: Lane, *, fits: bool, free: Offer, now: float) -> Offer:
    """What younger tasks may use while the head of this lane cannot start."""
    if fits:
        return free
    if lane.blocked_since is None:
        lane.blocked_since = now
    if now - lane.blocked_since < PATIENCE_S:
        return free
    return resources.subtract(free, lane.request_class.request)


def _want_executors(state: State, lane: Lane, outbox: TurnEffects) -> None:
    """Resources are free but no executor is: fractional requests can use more than one per cpu."""
    if state.trouble.since is not None:
        return
    request_class = lane.request_class
    useful = min(
        request_class.limit - request_class.n_running,
        resources.slots(state.free, request_class.request),
        lane.n_ready,
    )
    count = min(useful - state.n_starting, state.max_executors - len(state.executors))
    if count > 0:
        start_executors(state, count, outbox)


def _executor_with_room(state: State, lane: Lane) -> Executor | None:
    """An executor that runs a batch of short tasks of this class, with nothing behind it."""
    if not is_short(lane.heap[0][1].spec):
        return None
    for executor in state.executors.values():
        if (
            executor.holds is lane.request_class
            and len(executor.batches) == 1
            and executor.batches[0].is_short
            and executor.stage is Stage.READY
        ):
            return executor
    return None


def _give_batch(state: State, lane: Lane, executor: Executor, now: float) -> RunBatch:
    session = state.sessions[lane.session]
    runs = _take_batch(state, session, lane)
    lane.blocked_since = None
    if not lane.heap:
        close_lane(state, lane)
    known = executor.known.setdefault(lane.session, set())
    new_specs = []
    for run in runs:
        run.executor = executor
        if run.spec.number not in known:
            known.add(run.spec.number)
            new_specs.append((run.spec.number, run.spec.spec))
    timeout_s = runs[0].spec.spec.timeout_s
    deadline = None if timeout_s is None else now + timeout_s
    executor.batches.append(Batch(lane.session, runs, is_short=is_short(runs[0].spec), deadline=deadline))
    gpus = executor.gpus if state.gpus.free else None
    queued = tuple([run.queued(_absent(session, run) if run.missing else ()) for run in runs])
    return RunBatch(executor.number, lane.session, tuple(new_specs), queued, gpus)


def _absent(session: HeldSession, run: HeldRun) -> tuple[int, ...]:
    return tuple([obj for obj in dict.fromkeys(run.inputs) if obj not in session.present])


def _take_batch(state: State, session: HeldSession, lane: Lane) -> list[HeldRun]:
    """Takes tasks from the head of the lane, and what follows from them; all of them are short, or there is one."""
    first = lane.heap[0][1].spec
    if not is_short(first):
        return [_take_head(state, lane, 1)]
    room = min(-(-lane.n_ready // lane.request_class.limit), MAX_BATCH)
    left_us = BATCH_US
    runs: list[HeldRun] = []
    while room and lane.heap and is_short(spec := lane.heap[0][1].spec):
        mean_us = spec.mean_us or 0.0
        n_fitting = int(left_us / mean_us) if mean_us else room
        count = min(lane.heap[0][1].count, room, n_fitting if runs else max(1, n_fitting))
        if not count:
            break
        runs.append(_take_head(state, lane, count))
        room -= count
        left_us -= count * mean_us
    if session.waiters and left_us > 0:
        add_followers(session, lane, runs, left_us, MAX_BATCH, others_idle=bool(state.idle))
    return runs


def _take_head(state: State, lane: Lane, count: int) -> HeldRun:
    """The first `count` tasks of the oldest run."""
    run = lane.heap[0][1]
    lane.n_ready -= count
    if count == run.count:
        return heappop(lane.heap)[1]
    head = cut_off(state.sessions[lane.session], run, count)
    # Still before all others.
    lane.heap[0] = (run.order, run)
    return head
