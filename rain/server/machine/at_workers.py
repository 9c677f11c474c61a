"""Which tasks and objects are where: what views list of each worker."""

from __future__ import annotations

from dataclasses import dataclass, field

from rain.server.machine.stages import ASSIGNED
from rain.server.machine.state import ServerSession, ServerState
from rain.server.machine.tables import AVAILABLE

#: Lists of ids hold at most so many.
MAX_LISTED = 10_000

_IS_AVAILABLE = bytes(flags & AVAILABLE != 0 for flags in range(256))


@dataclass(slots=True)
class AtWorker:
    """Of one worker: the tasks that it was given, the objects that it holds, fetches or is making."""

    #: (session, task) and (session, object), at most `MAX_LISTED` of each.
    tasks: list[tuple[int, int]] = field(default_factory=list)
    objects: list[tuple[int, int]] = field(default_factory=list)
    #: How many objects it does not hold yet.
    n_coming: int = 0

    def list_object(self, session: int, obj: int) -> None:
        """Where there is room."""
        if len(self.objects) < MAX_LISTED:
            self.objects.append((session, obj))


def at_workers(state: ServerState) -> dict[int, AtWorker]:
    """By number of the worker; what it holds comes before what it fetches and makes."""
    found = {number: AtWorker() for number in state.workers}
    for session in state.sessions.values():
        _list_held(session, found)
    for session in state.sessions.values():
        _list_given(session, found)
    return found


def _list_held(session: ServerSession, found: dict[int, AtWorker]) -> None:
    objects = session.objects
    # Most objects of a large session are gone; these are passed over at once.
    available = objects.flags.translate(_IS_AVAILABLE)
    room = sum(MAX_LISTED - len(each.objects) for each in found.values())
    obj = available.find(1)
    while obj >= 0 and room > 0:
        for worker in objects.holders_of(obj):
            found[worker].list_object(session.number, obj)
            room -= 1
        obj = available.find(1, obj + 1)


def _list_given(session: ServerSession, found: dict[int, AtWorker]) -> None:
    tasks, objects = session.tasks, session.objects
    fetched: set[tuple[int, int]] = set()
    task = tasks.stage.find(ASSIGNED)
    while task >= 0:
        worker = tasks.worker[task]
        at = found[worker]
        if len(at.tasks) < MAX_LISTED:
            at.tasks.append((session.number, task))
        first = tasks.first_output[task]
        made = range(first, first + session.spec_outputs[tasks.spec[task]])
        for obj in (*tasks.inputs_of(task), *made):
            if objects.is_held_by(obj, worker) or (worker, obj) in fetched:
                continue
            fetched.add((worker, obj))
            at.n_coming += 1
            at.list_object(session.number, obj)
        task = tasks.stage.find(ASSIGNED, task + 1)
