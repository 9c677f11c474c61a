"""Schedulers to compare with: they know every duration and size before, and see the cluster as it is.

Rain knows neither before it has seen them; so there is also a scheduler that knows the mean durations only.

*b-level*: list scheduling; the ready task with the longest path to the end gets a free core where the fewest bytes have
to be moved (greedy transfers). *work stealing*: a ready task goes to where the fewest bytes have to be moved, idle
workers take tasks from the longest queues. *random*: a ready task goes anywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from random import Random

from benchmarks.scheduling.cluster import Cluster, Setting, SimWorker
from benchmarks.scheduling.graph import Graph


class Scheduler(ABC):
    """What the three have in common: a decision comes some time after what made it necessary."""

    def __init__(self, setting: Setting, graph: Graph, seed: int) -> None:
        self.cluster = Cluster(setting, graph)
        self.graph = graph
        self.random = Random(seed)
        self.levels = graph.b_levels(graph.duration_s)
        self.consumers = graph.consumers()
        self.missing = [len(set(inputs)) for inputs in graph.inputs]
        self.holders: list[set[int]] = [set() for _ in graph.size]
        self.ready = [task for task, missing in enumerate(self.missing) if not missing]
        self.n_left = len(graph)
        self.delay_s = setting.decision_s + setting.latency_s
        self._is_called = False
        for worker in self.cluster.workers.values():
            worker.finished = self._finished
            worker.arrived = lambda worker, obj: self.holders[obj].add(worker.number)

    def makespan(self) -> float:
        """Seconds until the last task ended."""
        self._call()
        return self.cluster.makespan(lambda: self.n_left)

    @abstractmethod
    def decide(self) -> None:
        """Gives tasks to workers."""

    def bytes_missing(self, task: int, worker: int) -> int:
        """What would have to be moved."""
        return sum(self.graph.size[obj] for obj in set(self.graph.inputs[task]) if worker not in self.holders[obj])

    def assign(self, task: int, worker: SimWorker) -> None:
        """The task is the worker's from now on."""
        rank = -self.levels[task]
        worker.give(task, rank)
        for obj in self.graph.inputs[task]:
            if worker.number not in self.holders[obj]:
                worker.fetch(obj, self.random.choice(sorted(self.holders[obj])), rank)
        worker.go_on()

    def _finished(self, worker: SimWorker, task: int) -> None:
        self.n_left -= 1
        for obj in self.graph.outputs(task):
            self.holders[obj].add(worker.number)
            for reader in self.consumers[obj]:
                self.missing[reader] -= 1
                if not self.missing[reader]:
                    self.ready.append(reader)
        self._call()

    def _call(self) -> None:
        if not self._is_called:
            self._is_called = True
            self.cluster.timeline.after(self.delay_s, self._decide)

    def _decide(self) -> None:
        self._is_called = False
        self.decide()


class BLevel(Scheduler):
    """List scheduling by b-level with greedy transfers."""

    def __init__(self, setting: Setting, graph: Graph, seed: int) -> None:
        super().__init__(setting, graph, seed)
        self.taken = dict.fromkeys(self.cluster.workers, 0)

    def decide(self) -> None:
        workers, cores = self.cluster.workers, self.cluster.setting.cores
        self.ready.sort(key=lambda task: -self.levels[task])
        left = []
        for task in self.ready:
            free = [number for number in workers if cores - self.taken[number] >= self.graph.cpus[task]]
            if not free:
                left.append(task)
                continue
            best = min(free, key=lambda number: (self.bytes_missing(task, number), self.taken[number]))
            self.taken[best] += self.graph.cpus[task]
            self.assign(task, workers[best])
        self.ready = left

    def _finished(self, worker: SimWorker, task: int) -> None:
        self.taken[worker.number] -= self.graph.cpus[task]
        super()._finished(worker, task)


class BLevelOfMeans(BLevel):
    """The same, where of durations only the means are known: of all tasks of a function, before any of them ran."""

    def __init__(self, setting: Setting, graph: Graph, seed: int) -> None:
        super().__init__(setting, graph, seed)
        self.levels = graph.b_levels(graph.mean_durations())


class WorkStealing(Scheduler):
    """Tasks go to their data at once; idle workers take from the longest queue, a message later."""

    def decide(self) -> None:
        workers = self.cluster.workers
        for task in self.ready:
            best = min(
                workers.values(),
                key=lambda worker: (self.bytes_missing(task, worker.number), self._load(worker), worker.number),
            )
            self.assign(task, best)
        self.ready = []
        for thief in workers.values():
            while self._load(thief) < thief.cores and self._steal(thief):
                pass

    def _steal(self, thief: SimWorker) -> bool:
        victim = max(self.cluster.workers.values(), key=self._load)
        if self._load(victim) <= victim.cores or not victim.queue:
            return False
        room = thief.cores - self._load(thief)
        tasks = [task for _, task in victim.queue if self.graph.cpus[task] <= room]
        if not tasks:
            return False
        task = min(tasks, key=lambda task: (self.bytes_missing(task, thief.number), self.levels[task]))
        victim.take(task)
        self.assign(task, thief)
        return True

    def _load(self, worker: SimWorker) -> int:
        return worker.cores - worker.free + sum(self.graph.cpus[task] for _, task in worker.queue)


class Anywhere(Scheduler):
    """Each ready task goes to a worker by lot."""

    def decide(self) -> None:
        workers = list(self.cluster.workers.values())
        for task in self.ready:
            self.assign(task, self.random.choice(workers))
        self.ready = []


BASELINES: dict[str, Callable[[Setting, Graph, int], Scheduler]] = {
    "b-level": BLevel,
    "b-level, means": BLevelOfMeans,
    "work stealing": WorkStealing,
    "random": Anywhere,
}
