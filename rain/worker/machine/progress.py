"""What running tasks say of their progress, on its way to the server: of each only the last word, and not often."""

from __future__ import annotations

from rain.core.note import TaskProgress
from rain.protocol.columns import pack
from rain.protocol.worker import TasksProgressed
from rain.worker.machine.events import ExecutorProgressed
from rain.worker.machine.outbox import TurnEffects
from rain.worker.machine.state import State

#: The server hears of all tasks of this worker together, at most this often.
INTERVAL_S = 0.1


def executor_progressed(state: State, event: ExecutorProgressed) -> None:
    """Remembers the last word of a task that this executor was given; of others nothing."""
    executor = state.executors.get(event.executor)
    for batch in executor.batches if executor is not None else ():
        for run in batch.runs if batch.session == event.session else ():
            if run.task <= event.task < run.end and run.attempt == event.attempt:
                state.progress[event.session, event.task] = (event.attempt, event.progress)


def tell_progress(state: State, now: float, outbox: TurnEffects, *, now_or_never: bool = False) -> None:
    """Tells the server what was remembered, of the attempts that are still here."""
    if not state.progress or (now < state.progress_told_at + INTERVAL_S and not now_or_never):
        return
    state.progress_told_at = now
    said, state.progress = state.progress, {}
    by_session: dict[int, list[tuple[int, int, TaskProgress]]] = {}
    for (number, task), (attempt, progress) in said.items():
        session = state.sessions.get(number)
        held = None if session is None else session.tasks.get(task)
        if held is not None and held.attempt == attempt:
            by_session.setdefault(number, []).append((task, attempt, progress))
    for number, rows in by_session.items():
        tasks, attempts, words = zip(*rows, strict=True)
        outbox.tell(TasksProgressed(number, pack("I", tasks), pack("I", attempts), words))
