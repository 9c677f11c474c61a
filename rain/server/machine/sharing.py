"""How many of a batch of tasks, for which any worker will do, each worker gets."""

from __future__ import annotations

from rain.core.resources import Request
from rain.server.machine.rooms import Room, unused_kinds
from rain.server.machine.state import ServerState


def split(state: ServerState, n: int, rooms: list[Room], request: Request) -> list[int]:
    """How many of `n` tasks each worker gets: by idle slots as far as they reach, then by room ahead."""
    idle = [room.idle for room in rooms]
    n_idle = sum(idle)
    if n < n_idle:
        return _by_fill(state, n, rooms, request)
    if n == n_idle:
        return idle
    more = _in_proportion(state, n - n_idle, [max(0, room.ahead) for room in rooms], rooms)
    return [count + extra for count, extra in zip(idle, more, strict=True)]


def _by_fill(state: ServerState, n: int, rooms: list[Room], request: Request) -> list[int]:
    """Idle slots for `n` tasks: first of the workers that each task fills best, evenly among equals.

    So large workers, and those with gpus and the like, are left for tasks that need them.
    """
    equals: dict[tuple[int, int], list[int]] = {}
    for place, room in enumerate(rooms):
        equals.setdefault((room.n_slots, unused_kinds(room.worker.offer, request)), []).append(place)
    counts = [0] * len(rooms)
    for _, places in sorted(equals.items()):
        idle = [rooms[place].idle for place in places]
        part = _in_proportion(state, min(n, sum(idle)), idle, [rooms[place] for place in places])
        for place, count in zip(places, part, strict=True):
            counts[place] = count
        n -= sum(part)
    return counts


def _in_proportion(state: ServerState, n: int, room_left: list[int], rooms: list[Room]) -> list[int]:
    total = sum(room_left)
    if not total or not n:
        return [0] * len(rooms)
    counts = [n * room // total for room in room_left]
    left = n - sum(counts)
    order = sorted(
        (place for place in range(len(rooms)) if counts[place] < room_left[place]),
        key=lambda place: (
            -room_left[place] / rooms[place].n_slots,
            rooms[place].n_slots,
            hash((state.seed, state.turn, rooms[place].worker.number)),
        ),
    )
    while left:
        for place in order:
            if left and counts[place] < room_left[place]:
                counts[place] += 1
                left -= 1
    return counts
