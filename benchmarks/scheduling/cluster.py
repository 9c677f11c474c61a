"""Workers as the simulation has them: cores, a store, and downloads, a few at a time.

All schedulers drive the same workers: a worker has an ordered list of tasks, fetches what they read in that order, and
starts the first task whose inputs are there and for which cores are free.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.scheduling.graph import Graph
from benchmarks.scheduling.network import Network
from benchmarks.scheduling.timeline import Timeline

#: A worker downloads so many objects at once, and so many of them from one source.
MAX_DOWNLOADS = 4
MAX_PER_SOURCE = 2
#: A task that does not fit lets others pass for so long.
PATIENCE_S = 1.0


@dataclass(frozen=True)
class Setting:
    """A cluster."""

    n_workers: int
    cores: int
    #: MiB per second of each worker, in each direction.
    bandwidth: float
    #: A decision takes effect after so long, a message is under way so long.
    decision_s: float = 1e-3
    latency_s: float = 0.25e-3
    #: What the server does for a message and for a task that it is told of.
    message_s: float = 30e-6
    task_s: float = 1e-6


class SimWorker:
    """One worker. `finished(worker, task)` and `arrived(worker, object)` tell its scheduler's side of it."""

    def __init__(self, number: int, setting: Setting, graph: Graph, timeline: Timeline, network: Network) -> None:
        self.number = number
        self.cores = self.free = setting.cores
        self.graph = graph
        self.timeline = timeline
        self.network = network
        self.present: set[int] = set()
        self.running: set[int] = set()
        #: Tasks that did not start yet, with their rank: the lowest comes first.
        self.queue: list[tuple[float, int]] = []
        #: Objects to fetch, with the rank of the task that reads them first, and their sources.
        self._wanted: list[tuple[float, int]] = []
        self._source: dict[int, int] = {}
        self._downloads: Counter[int] = Counter()
        self._blocked_since: dict[int, float] = {}
        self.finished: Callable[[SimWorker, int], None] = lambda *_: None
        self.arrived: Callable[[SimWorker, int], None] = lambda *_: None
        self.busy_s = 0.0

    def give(self, task: int, rank: float) -> None:
        """One more task; its inputs must be here, be made here, or be fetched."""
        insort(self.queue, (rank, task))

    def take(self, task: int) -> bool:
        """Takes a task back that did not start; False when it did."""
        for position, (_, queued) in enumerate(self.queue):
            if queued == task:
                del self.queue[position]
                return True
        return False

    def fetch(self, obj: int, source: int, rank: float) -> None:
        """Gets an object, unless that was ordered before."""
        if obj not in self.present and obj not in self._source:
            self._source[obj] = source
            insort(self._wanted, (rank, obj))

    def go_on(self) -> None:
        """Starts what can start, tasks and downloads."""
        self._download()
        graph, now = self.graph, self.timeline.now
        position = 0
        while self.free and position < len(self.queue):
            _, task = self.queue[position]
            if not self.present.issuperset(graph.inputs[task]):
                position += 1
            elif graph.cpus[task] <= self.free:
                del self.queue[position]
                self._blocked_since.pop(task, None)
                self._start(task)
            elif now - self._blocked_since.setdefault(task, now) >= PATIENCE_S:
                return
            else:
                position += 1

    def _start(self, task: int) -> None:
        self.free -= self.graph.cpus[task]
        self.running.add(task)
        self.busy_s += self.graph.duration_s[task] * self.graph.cpus[task]
        self.timeline.after(self.graph.duration_s[task], lambda: self._end(task))

    def _end(self, task: int) -> None:
        self.free += self.graph.cpus[task]
        self.running.discard(task)
        self.present.update(self.graph.outputs(task))
        self.finished(self, task)
        self.go_on()

    def _download(self) -> None:
        position = 0
        while position < len(self._wanted) and self._downloads.total() < MAX_DOWNLOADS:
            _, obj = self._wanted[position]
            source = self._source[obj]
            if self._downloads[source] >= MAX_PER_SOURCE:
                position += 1
                continue
            del self._wanted[position]
            self._downloads[source] += 1
            self.network.send(source, self.number, self.graph.size[obj], lambda obj=obj: self._arrive(obj))

    def _arrive(self, obj: int) -> None:
        self._downloads[self._source.pop(obj)] -= 1
        self.present.add(obj)
        self.arrived(self, obj)
        self.go_on()


class Cluster:
    """Workers 1 to n, the network between them, and the graph."""

    def __init__(self, setting: Setting, graph: Graph) -> None:
        self.setting = setting
        self.graph = graph
        self.timeline = Timeline()
        self.network = Network(self.timeline, setting.bandwidth * 2**20)
        self.workers = {
            number: SimWorker(number, setting, graph, self.timeline, self.network)
            for number in range(1, setting.n_workers + 1)
        }
        self.begun_s = self.timeline.now

    def makespan(self, n_left: Callable[[], int]) -> float:
        """Runs until nothing is left to do; seconds of virtual time."""
        self.timeline.run(lambda: n_left() == 0)
        return self.timeline.now - self.begun_s
