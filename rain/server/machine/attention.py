"""Which workers a scheduling round looks at.

On a large cluster that has more to do than it can, a report frees room at one worker, and to look at a thousand others
for it would cost more than everything else. So a round that leaves tasks in every queue, and no worker with room, is
remembered; the next ones look only at workers of which there is news, as long as the same queues have tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rain.server.machine.ready import ReadyQueue
from rain.server.machine.rooms import slots_of
from rain.server.machine.state import ServerState, Worker

#: All workers are looked at once in this time: what a worker may be given ahead also changes by other workers' reports.
LOOK_AT_ALL_S = 1.0

Waiting = Mapping[int, Sequence[ReadyQueue]]


def to_look_at(state: ServerState, workers: list[Worker], waiting: Waiting) -> list[Worker]:
    """Those of `workers` that may have room for what waits; `waiting`: the queues of each session."""
    attention = state.attention
    if attention.saturated == _keys(waiting) and state.now < attention.look_at_all_s:
        return [worker for worker in workers if worker.has_news]
    attention.look_at_all_s = state.now + LOOK_AT_ALL_S
    attention.n_capable = {
        resource_class: sum(slots_of(state, worker, resource_class) > 0 for worker in workers)
        for resource_class in {queue.resource_class for queues in waiting.values() for queue in queues}
    }
    return workers


def looked(state: ServerState, workers: list[Worker], waiting: Waiting, *, is_saturated: bool) -> None:
    """These workers were looked at; `is_saturated`: no task is held back although there is room."""
    for worker in workers:
        worker.has_news = False
    left = {number: [queue for queue in queues if len(queue)] for number, queues in waiting.items()}
    state.attention.saturated = _keys(left) if is_saturated else None


def look_at_all(state: ServerState) -> None:
    """The workers are others than before."""
    state.attention.saturated = None


def _keys(waiting: Waiting) -> frozenset[tuple[int, int, int]]:
    return frozenset(
        (number, queue.priority, queue.resource_class) for number, queues in waiting.items() for queue in queues
    )
