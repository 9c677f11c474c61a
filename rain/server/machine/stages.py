"""The stages of a task and the legal moves between them, as data.

Stages are small integers, because they are the bytes of a column; `STAGE_NAMES` are the words that clients see.
"""

from __future__ import annotations

#: Inputs are missing.
WAITING = 0
#: All inputs exist; stands in a ready queue.
READY = 1
#: Given to a worker; a report is due. Inputs may be missing that the same worker makes before.
ASSIGNED = 2
#: An attempt succeeded and was accepted. Goes back when its outputs were lost and are needed.
FINISHED = 3
#: The last attempt failed; nothing follows.
FAILED = 4
#: Stopped by the client, by a failed ancestor or by the failure of the session; nothing follows.
CANCELLED = 5

#: The words of the stages for clients, in their order.
STAGE_NAMES = ("waiting", "waiting", "running", "finished", "failed", "cancelled")

#: Where a task may go from each stage.
MOVES: dict[int, frozenset[int]] = {
    WAITING: frozenset({READY, ASSIGNED, CANCELLED}),
    READY: frozenset({WAITING, ASSIGNED, CANCELLED}),
    ASSIGNED: frozenset({WAITING, READY, FINISHED, FAILED, CANCELLED}),
    FINISHED: frozenset({WAITING, READY}),
    FAILED: frozenset(),
    CANCELLED: frozenset(),
}


def reachable(start: int) -> frozenset[int]:
    """The stages a task can be in after any number of moves from `start`, none included."""
    found = {start}
    todo = [start]
    while todo:
        new = MOVES[todo.pop()] - found
        found |= new
        todo += new
    return frozenset(found)
