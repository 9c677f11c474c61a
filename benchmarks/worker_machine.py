"""What a task costs in the worker's machine: from the server's message to the report, no I/O and no executor processes.

python -m benchmarks.worker_machine [--tasks 1000] [--rounds 30] [--cpus 4] [--inputs 0] [--chain]
"""

from __future__ import annotations

import argparse
import time
from array import array

from msgspec.structs import replace

from rain.core.resources import UNIT, Offer
from rain.core.spec import TaskSpec
from rain.protocol.columns import column, pack
from rain.protocol.executor import Produced, RangeDone, TaskDone
from rain.protocol.worker import Compute, Drop, EndSession, NumberedSpec
from rain.worker.machine.effects import Effect, QueuedRun, ReportDone, RunBatch
from rain.worker.machine.events import ExecutorReady, ExecutorReported, ServerSaid
from rain.worker.machine.machine import WorkerMachine

_OUTPUTS = (Produced(size=8, data=b""),)


def main() -> None:
    """Prints microseconds per task: the best and the median round."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--cpus", type=int, default=4)
    parser.add_argument("--inputs", type=int, default=0, help="constants that each task reads, present from the start")
    parser.add_argument("--chain", action="store_true", help="each task reads the one before")
    options = parser.parse_args()
    costs = sorted(measure(options.tasks, options.rounds, options.cpus, options.inputs, is_chain=options.chain))
    print(f"{options.tasks} tasks: best {costs[0]:.2f} µs per task, median {costs[len(costs) // 2]:.2f} µs")


def measure(n_tasks: int, n_rounds: int, n_cpus: int, n_inputs: int = 0, *, is_chain: bool = False) -> list[float]:
    """Microseconds per task in each round of `n_tasks` no-op tasks with an output each."""
    machine = WorkerMachine(Offer(cpus=n_cpus * UNIT), number=1)
    machine.start(0.0)
    machine.handle([ExecutorReady(number) for number in range(machine.n_wanted)], 0.0)
    machine.handle([ServerSaid(_compute(0, 1, 0, with_spec=True))], 0.0)
    spent = _play(machine, [ExecutorReported(n_cpus - 1, 1, (TaskDone(0, 1, 10, _OUTPUTS),), ())])
    costs = []
    for number in range(n_rounds):
        first = 1 + number * n_tasks
        message = _chain(first, n_tasks) if is_chain else _compute(first, n_tasks, n_inputs)
        spent = _play(machine, [ServerSaid(message)])
        dropped = column(array("I", range(first, first + n_tasks)))
        spent += _timed(machine, ServerSaid(Drop(session=1, objects=dropped)))[0]
        costs.append(spent / n_tasks * 1e6)
    machine.handle([ServerSaid(EndSession(1))], 0.0)
    return costs


def _play(machine: WorkerMachine, events: list[ServerSaid | ExecutorReported]) -> float:
    """Plays executors that are done at once; the seconds that the machine took."""
    spent = 0.0
    n_reported = 0
    while events:
        seconds, effects = _timed(machine, events.pop(0))
        spent += seconds
        for effect in effects:
            if isinstance(effect, RunBatch):
                done = tuple(TaskDone(run.task, run.attempt, 10, _OUTPUTS) for run in effect.runs if run.count == 1)
                ranges = tuple(_range_done(run) for run in effect.runs if run.count > 1)
                events.append(ExecutorReported(effect.executor, effect.session, done, (), ranges))
            elif isinstance(effect, ReportDone):
                n_reported += len(effect.objects)
    if not n_reported:
        raise SystemExit("nothing was reported")
    return spent


def _range_done(run: QueuedRun) -> RangeDone:
    durations, sizes = array("I", (10,)) * run.count, array("Q", (8,)) * run.count
    return RangeDone(run.task, run.count, run.attempt, column(durations), column(sizes))


def _timed(machine: WorkerMachine, event: ServerSaid | ExecutorReported) -> tuple[float, list[Effect]]:
    start = time.perf_counter()
    effects = machine.handle([event], 0.0)
    return time.perf_counter() - start, effects


def _compute(first: int, n_tasks: int, n_inputs: int, *, with_spec: bool = False) -> Compute:
    numbers = range(first, first + n_tasks)
    constants = range(1_000_000_000, 1_000_000_000 + n_inputs)
    return Compute(
        session=1,
        specs=(NumberedSpec(0, TaskSpec(kind="python")),) if with_spec else (),
        task=pack("I", numbers),
        spec=pack("I", [0] * n_tasks),
        attempt=pack("I", [1] * n_tasks),
        first_output=pack("I", numbers),
        n_inputs=pack("I", [n_inputs] * n_tasks),
        inputs=pack("I", [*constants] * n_tasks),
        args_size=pack("I", [0] * n_tasks),
        source=pack("I", constants),
        source_holder=pack("I", [0] * n_inputs),
        source_size=pack("Q", [8] * n_inputs),
        source_inline=pack("B", [1] * n_inputs),
    )


def _chain(first: int, n_tasks: int) -> Compute:
    numbers = range(first, first + n_tasks)
    apart = _compute(first, n_tasks, 0)
    return replace(apart, n_inputs=pack("I", [0] + [1] * (n_tasks - 1)), inputs=pack("I", numbers[:-1]))


if __name__ == "__main__":
    main()
