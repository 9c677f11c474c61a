"""What must be true of a cluster at rest, and of one in which every session is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rain.core.errors import InvariantViolation
from rain.core.ids import NONE, object_name, task_name
from rain.server.machine.stages import FAILED, FINISHED
from rain.server.machine.tables import FORGOTTEN, KEPT, STASHED
from rain.worker.machine.state import Stage
from tests.sim.worker import ModelWorker

if TYPE_CHECKING:
    from tests.sim.world import World

Key = tuple[int, int]


def at_rest(world: World) -> None:
    """Every worker's store is what the server believes, and nothing is held that nobody needs."""
    believed = _believed(world)
    for worker in world.living_workers():
        _worker_rests(worker)
        present = {(number, obj) for number, each in worker.machine.state.sessions.items() for obj in each.present}
        expected = believed.get(worker.number, set())
        _same(set(worker.store), present, f"{worker.name}'s store", "its machine's books")
        _same(present, expected, f"{worker.name}'s store", "what the server believes")
        for key in present:
            objects = world.server.machine.state.sessions[key[0]].objects
            if not objects.flags[key[1]] & KEPT:
                raise InvariantViolation(f"{worker.name} holds {object_name(*key)}, which nobody needs")
    _stash_rests(world)
    _words_are_of_their_attempts(world)


def _words_are_of_their_attempts(world: World) -> None:
    """What is shown of an attempt is what it said, and nothing is kept for ends that have come."""
    for number, session in world.server.machine.state.sessions.items():
        tasks, attached = session.tasks, session.attached
        for task, note in attached.notes.items():
            said = f"attempt {tasks.attempt[task]}"
            words = (note.stdout, "" if note.progress is None else note.progress.text)
            if tasks.stage[task] == FINISHED and not {*words} <= {"", said}:
                raise InvariantViolation(f"{task_name(number, task)}, {said}, is shown with {words}")
        for task in attached.progress:
            if tasks.stage[task] in (FINISHED, FAILED):
                raise InvariantViolation(f"{task_name(number, task)} has ended, but its progress is kept apart")
        for task, past in attached.past.items():
            for each in past:
                if each.note is not None and each.note.stdout not in ("", "oh", f"attempt {each.attempt}"):
                    name = task_name(number, task)
                    raise InvariantViolation(f"{name}: attempt {each.attempt} is shown with {each.note.stdout!r}")


def closed(world: World) -> None:
    """Nothing is left anywhere."""
    server = world.server
    left = [server.machine.state.sessions, server.stash, server.args]
    for worker in world.living_workers():
        state = worker.machine.state
        left += [worker.store, state.sessions, state.classes, state.lanes]
        left += [executor.known for executor in state.executors.values()]
        left += [worker.executors[number].specs for number in state.executors]
    if any(left):
        raise InvariantViolation(f"every session is closed, but this is left: {[each for each in left if each]}")


def _believed(world: World) -> dict[int, set[Key]]:
    believed: dict[int, set[Key]] = {}
    for number, session in world.server.machine.state.sessions.items():
        for obj, holder in enumerate(session.objects.holder):
            if holder != NONE:
                for worker in session.objects.holders_of(obj):
                    believed.setdefault(worker, set()).add((number, obj))
    return believed


def _worker_rests(worker: ModelWorker) -> None:
    state = worker.machine.state
    for number, session in state.sessions.items():
        busy = [session.tasks, session.fetching, session.waiters, session.needed, session.doomed, session.leftovers]
        if any(busy):
            raise InvariantViolation(f"{worker.name} does not rest: s{number} has {[each for each in busy if each]}")
    if state.free != state.offer or any(each.stage is not Stage.READY for each in state.executors.values()):
        raise InvariantViolation(f"{worker.name}'s executors do not rest")


def _stash_rests(world: World) -> None:
    server = world.server
    for number, obj in server.stash:
        session = server.machine.state.sessions[number]
        if obj >= len(session.objects):
            continue
        needed = session.objects.flags[obj] & KEPT or session.objects.lineage[obj]
        if not session.objects.flags[obj] & STASHED or not needed:
            raise InvariantViolation(f"the stash holds {object_name(number, obj)}, which nobody needs")
    for number, task in server.args:
        flags = server.machine.state.sessions[number].tasks.flags
        # What came with a refused submit stays until the session ends.
        if task < len(flags) and flags[task] & FORGOTTEN:
            raise InvariantViolation(f"the stash holds the arguments of s{number}.t{task}, which never runs again")


def _same(found: set[Key], expected: set[Key], what: str, other: str) -> None:
    if found != expected:
        more = sorted(object_name(*key) for key in found - expected)
        less = sorted(object_name(*key) for key in expected - found)
        raise InvariantViolation(f"{what} and {other} differ: {more} only in the first, {less} only in the second")
