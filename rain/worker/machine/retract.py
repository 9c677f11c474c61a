"""Tasks that this worker gives up because others have nothing to do."""

from __future__ import annotations

from rain.protocol.columns import pack
from rain.protocol.worker import Retract, Retracted
from rain.worker.machine.numbers import among
from rain.worker.machine.outbox import TurnEffects
from rain.worker.machine.state import HeldRun, HeldSession, Lane, State
from rain.worker.machine.transitions import divide, forget_run, rebuild_lane


def retract(state: State, message: Retract, outbox: TurnEffects) -> None:
    """Forgets the last tasks of a lane, as many as were asked for if there are so many, and says which."""
    session = state.sessions.get(message.session)
    given_up: list[HeldRun] = []
    if session is not None and message.spec in session.specs:
        lane = session.specs[message.spec].lane
        given_up = _last(state, session, lane, message.n_tasks)
        for run in given_up:
            forget_run(session, run, outbox)
    tasks = [task for run in given_up for task in range(run.task, run.end)]
    attempts = [run.attempt for run in given_up for _ in range(run.count)]
    outbox.tell(Retracted(message.session, pack("I", tasks), pack("I", attempts)))


def _last(state: State, session: HeldSession, lane: Lane, n_tasks: int) -> list[HeldRun]:
    """Takes tasks out of the lane, from its end, unless others here wait for what they make."""
    taken: list[HeldRun] = []
    gone: list[HeldRun] = []
    left: list[HeldRun] = []
    for _, run in sorted(lane.heap, key=lambda entry: -entry[0]):
        if n_tasks <= 0:
            break
        if among(session.waiters, run.first_output, run.n_outputs):
            continue
        count = min(run.count, n_tasks)
        part, others = divide(session, run, run.end - count, count)
        taken.append(part)
        gone += (run, part)
        left += others
        n_tasks -= count
    if taken:
        rebuild_lane(state, lane, gone, left)
    return taken
