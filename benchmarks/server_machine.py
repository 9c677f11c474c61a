"""What a task costs the server's machine: time and memory per task, without sockets and without real workers.

    python benchmarks/server_machine.py [TASKS] [WORKERS]

The workers of this script finish at once whatever they are given. Printed per graph: microseconds of cpu per task in
the machine (submit, assign, finish), bytes per task in its tables, tasks per `Compute` message.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from array import array
from collections import deque
from collections.abc import Iterator

from rain.core.resources import UNIT, Offer
from rain.core.spec import TaskSpec
from rain.protocol.client import OpenSession, Submit
from rain.protocol.columns import Column, column, pack
from rain.protocol.worker import Done
from rain.server.machine.effects import SendCompute
from rain.server.machine.events import ClientJoined, ClientSaid, WorkerJoined, WorkerSaid
from rain.server.machine.machine import ServerMachine

#: A worker reports at most so many tasks at once.
REPORT = 256


def independent(n: int) -> tuple[Column, Column]:
    """Columns n_inputs and inputs of tasks without inputs."""
    return column(array("I", bytes(4 * n))), column(array("I"))


def chains(n: int, length: int = 100) -> tuple[Column, Column]:
    """Chains: each task reads the output of the one before."""
    counts = [0 if task % length == 0 else 1 for task in range(n)]
    return pack("I", counts), pack("I", [task - 1 for task in range(n) if task % length])


def reduction(n: int) -> tuple[Column, Column]:
    """A binary tree: half of the tasks are leaves, each other one reads two."""
    leaves = n - (n - 1) // 2
    inputs = [read for task in range(leaves, n) for read in (2 * (task - leaves), 2 * (task - leaves) + 1)]
    return pack("I", [0] * leaves + [2] * (n - leaves)), pack("I", inputs)


def reports(effects: list[object]) -> Iterator[WorkerSaid]:
    """What the workers say about the tasks they were given: all done, each with an empty result."""
    for effect in effects:
        if not isinstance(effect, SendCompute):
            continue
        compute = effect.compute
        task, attempt = array("I", bytes(compute.task)), array("I", bytes(compute.attempt))
        for first in range(0, len(task), REPORT):
            rows = task[first : first + REPORT]
            done = Done(
                session=compute.session,
                task=column(rows),
                attempt=column(attempt[first : first + REPORT]),
                duration_us=column(array("I", (100,)) * len(rows)),
                size=column(array("Q", bytes(8 * len(rows)))),
                inline=column(array("B", (1,)) * len(rows)),
            )
            yield WorkerSaid(effect.worker, done)


def play(n: int, n_workers: int, columns: tuple[Column, Column], *, keep: bool) -> tuple[float, float, int, float]:
    """Seconds in the machine for submit and for the rest, number of messages with tasks, bytes held per task."""
    machine = ServerMachine(1)
    join = [WorkerJoined(w, "here", w, Offer(cpus=4 * UNIT), "127.0.0.1", w, "") for w in range(1, n_workers + 1)]
    machine.handle([ClientJoined(1), *join, ClientSaid(1, OpenSession(1))], 1.0)
    every = array("I", range(n))
    submit = Submit(
        session=1,
        first_spec=0,
        specs=(TaskSpec(kind="python"),),
        first_task=0,
        n_tasks=n,
        spec=column(array("I", bytes(4 * n))),
        first_output=column(every),
        n_inputs=columns[0],
        inputs=columns[1],
        args_size=column(array("I", bytes(4 * n))),
        first_object=0,
        n_objects=n,
        kept=column(every) if keep else column(array("I", (n - 1,))),
    )
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    started = time.thread_time()
    effects = machine.handle([ClientSaid(1, submit)], 1.0)
    submitted_s = time.thread_time() - started
    finished_s, messages, now = 0.0, 0, 1.0
    queue: deque[WorkerSaid] = deque()
    while True:
        messages += sum(isinstance(effect, SendCompute) for effect in effects)
        queue.extend(reports(list(effects)))
        if not queue:
            break
        now += 0.001
        event = queue.popleft()
        started = time.thread_time()
        effects = machine.handle([event], now)
        finished_s += time.thread_time() - started
    gc.collect()
    held = (tracemalloc.get_traced_memory()[0] - before) / n
    assert machine.state.sessions[1].unfinished == 0
    return submitted_s, finished_s, messages, held


def main() -> None:
    """Runs every graph, once for time and once for memory."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    n_workers = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    graphs = {"independent": independent, "chains of 100": chains, "binary reduction": reduction}
    print(f"{n} tasks, {n_workers} workers of 4 cpus")
    for name, graph in graphs.items():
        for keep in (True, False):
            columns = graph(n)
            submitted_s, finished_s, messages, _ = play(n, n_workers, columns, keep=keep)
            tracemalloc.start()
            held = play(min(n, 50_000), n_workers, graph(min(n, 50_000)), keep=keep)[3]
            tracemalloc.stop()
            print(
                f"{name:17} {'kept' if keep else 'dropped':8} submit {submitted_s / n * 1e6:5.2f} us/task,"
                f" assign+finish {finished_s / n * 1e6:5.2f}, {held:4.0f} bytes/task, {n / messages:6.0f} tasks/message"
            )


if __name__ == "__main__":
    main()
