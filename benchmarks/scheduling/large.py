"""Where the server's limit is on a large cluster: processor time of its machine per task and per message, and memory.

    python -m benchmarks.scheduling.large [TASKS] [WORKERS] [CPUS]

The workers cost nothing: each reports what it was given in reports of some tasks, in turns, so that reports of all
workers are under way at once, as on a real cluster. Encoding and encryption are not part of it.
"""

from __future__ import annotations

import resource
import sys
import time
from array import array
from collections import deque

from rain.core.resources import UNIT, Offer
from rain.core.spec import TaskSpec
from rain.protocol.client import OpenSession, Submit
from rain.protocol.columns import Column, column
from rain.protocol.worker import Done
from rain.server.machine.effects import SendCompute
from rain.server.machine.events import ClientJoined, ClientSaid, WorkerJoined, WorkerSaid
from rain.server.machine.machine import ServerMachine

#: So many reports are handled in one step of the server.
REPORTS_PER_STEP = 16
#: Tasks in one part of a submit.
PART = 1_000_000


def submit_of(n: int) -> list[Submit]:
    """The parts of a submit of so many independent tasks; no result is kept."""
    return [_part(first, min(PART, n - first), last=first + PART >= n) for first in range(0, n, PART)]


def _part(first: int, n: int, *, last: bool) -> Submit:
    zeros = array("I", bytes(4 * n))
    return Submit(
        session=1,
        last=last,
        first_spec=0 if not first else 1,
        specs=() if first else (TaskSpec(kind="python"),),
        first_task=first,
        n_tasks=n,
        spec=column(zeros),
        first_output=column(array("I", range(first, first + n))),
        n_inputs=column(zeros),
        args_size=column(zeros),
        first_object=first,
        n_objects=n,
    )


def report(task: Column, attempt: Column, duration_us: int) -> Done:
    """A report that these tasks are done, with empty results."""
    n = len(task) // 4
    return Done(
        session=1,
        task=task,
        attempt=attempt,
        duration_us=column(array("I", (duration_us,)) * n),
        size=column(array("Q", bytes(8 * n))),
        inline=column(array("B", bytes(n))),
    )


def play(n: int, n_workers: int, cpus: int, *, duration_us: int, rows: int) -> tuple[float, int, int]:
    """Seconds of processor time in the machine, messages to workers, and reports of at most `rows` tasks."""
    machine = ServerMachine(1)
    offer = Offer(cpus=cpus * UNIT)
    joined = [
        WorkerJoined(number, "here", number, offer, "127.0.0.1", number, "") for number in range(1, n_workers + 1)
    ]
    machine.handle([ClientJoined(1), *joined, ClientSaid(1, OpenSession(1))], 1.0)
    now, n_sent, n_reports = 1.0, 0, 0
    queue: deque[WorkerSaid] = deque()
    started = time.process_time()
    effects = machine.handle([ClientSaid(1, part) for part in submit_of(n)], now)
    spent_s = time.process_time() - started
    while True:
        for effect in effects:
            if isinstance(effect, SendCompute):
                n_sent += 1
                task, attempt = effect.compute.task, effect.compute.attempt
                for first in range(0, len(task), 4 * rows):
                    part = slice(first, first + 4 * rows)
                    queue.append(WorkerSaid(effect.worker, report(task[part], attempt[part], duration_us)))
        if not queue:
            break
        events = [queue.popleft() for _ in range(min(len(queue), REPORTS_PER_STEP))]
        n_reports += len(events)
        now += 0.001
        started = time.process_time()
        effects = machine.handle(events, now)
        spent_s += time.process_time() - started
    assert machine.state.sessions[1].unfinished == 0
    return spent_s, n_sent, n_reports


def main() -> None:
    """Long tasks, of which there are fewer here, are reported one by one, short ones in batches."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    n_workers = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    cpus = int(sys.argv[3]) if len(sys.argv) > 3 else 128
    print(f"{n} tasks, {n_workers} workers of {cpus} cpus")
    for label, duration_us, rows, part in (
        ("1 ms", 1000, 64, n),
        ("100 ms", 100_000, 8, n),
        ("10 s", 10**7, 1, n // 2),
    ):
        spent_s, n_sent, n_reports = play(part, n_workers, cpus, duration_us=duration_us, rows=rows)
        n_messages = n_sent + n_reports
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"tasks of {label:6} {spent_s / part * 1e6:6.2f} us of cpu a task, {spent_s / n_messages * 1e6:7.1f}"
            f" us a message, {part / n_messages:6.1f} tasks a message, peak {peak:.0f} MB"
        )


if __name__ == "__main__":
    main()
