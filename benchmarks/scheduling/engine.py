"""Rain in the simulation: the server's real machine and its real messages; around it a model of server and workers."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from benchmarks.scheduling.cluster import Cluster, Setting, SimWorker
from benchmarks.scheduling.graph import Graph
from rain.core.resources import UNIT, Offer, Request
from rain.core.spec import OutputSpec, TaskSpec
from rain.protocol.client import OpenSession, Submit
from rain.protocol.columns import column, pack, unpack
from rain.protocol.worker import MAX_INLINE_RESULT, Cancel, Compute, Done, Drop, Fetched, FromWorker, Retract, Retracted
from rain.server.machine.effects import Effect, SendCompute, TellWorker
from rain.server.machine.events import ClientJoined, ClientSaid, Event, WorkerJoined, WorkerSaid
from rain.server.machine.machine import ServerMachine

#: A worker that has other things to do holds its reports back for so long.
HOLD_S = 1e-3
SESSION = 1


def kinds_of(graph: Graph) -> tuple[list[int], list[tuple[str, int, int]]]:
    """Per task the number of its spec; and what the specs are: function, number of outputs, cpus."""
    specs: dict[tuple[str, int, int], int] = {}
    keys = zip(graph.function, graph.n_outputs, graph.cpus, strict=True)
    return [specs.setdefault(key, len(specs)) for key in keys], list(specs)


def submits(graph: Graph) -> Submit:
    """The message by which a client submits the whole graph; the last results are kept."""
    kinds, specs = kinds_of(graph)
    n_readers = [len(readers) for readers in graph.consumers()]
    n = len(graph)
    return Submit(
        session=SESSION,
        first_spec=0,
        specs=tuple(
            TaskSpec(
                kind="python",
                name=name,
                outputs=tuple(OutputSpec(label=str(place)) for place in range(n_outputs)),
                request=Request(cpus=cpus * UNIT),
            )
            for name, n_outputs, cpus in specs
        ),
        first_task=0,
        n_tasks=n,
        spec=pack("I", kinds),
        first_output=pack("I", graph.first_output),
        n_inputs=pack("I", map(len, graph.inputs)),
        inputs=pack("I", [obj for inputs in graph.inputs for obj in inputs]),
        args_size=pack("I", [0] * n),
        first_object=0,
        n_objects=len(graph.size),
        kept=pack("I", [obj for obj, readers in enumerate(n_readers) if not readers]),
    )


class Reports:
    """What a worker has to say and did not send yet."""

    def __init__(self) -> None:
        self.done = array("I")
        self.fetched = array("I")
        self.is_held = False


class Rain:
    """One run of one graph."""

    def __init__(self, setting: Setting, graph: Graph, seed: int) -> None:
        self.cluster = Cluster(setting, graph)
        self.setting = setting
        self.graph = graph
        self.machine = ServerMachine(seed)
        self.n_messages = 0
        self._inbox: list[tuple[Event, float]] = []
        self._free_at = 0.0
        self._is_woken = False
        self._attempts: dict[tuple[int, int], int] = {}
        self._reports = {number: Reports() for number in self.cluster.workers}
        self._n_given = 0
        self._kinds = kinds_of(graph)[0]
        for worker in self.cluster.workers.values():
            worker.finished = self._finished
            worker.arrived = self._arrived

    def makespan(self) -> float:
        """Seconds until the server knows that the last task ended."""
        offer = Offer(cpus=self.setting.cores * UNIT)
        self._tell(ClientJoined(1), 0.0)
        self._tell(ClientSaid(1, OpenSession(1)), 0.0)
        for number in self.cluster.workers:
            self._tell(WorkerJoined(number, "host", 1, offer, "host", 1, ""), 0.0)
        self._tell(ClientSaid(1, submits(self.graph)), 0.0)
        self.cluster.timeline.run(lambda: SESSION in self.machine.state.sessions)
        return self.cluster.makespan(lambda: self.machine.state.sessions[SESSION].unfinished)

    # ------------------------------------------------------------ the server

    def _tell(self, event: Event, cost_s: float) -> None:
        self._inbox.append((event, cost_s))
        self._wake(max(0.0, self._free_at - self.cluster.timeline.now))

    def _wake(self, delay_s: float) -> None:
        if not self._is_woken:
            self._is_woken = True
            self.cluster.timeline.after(delay_s, self._serve)

    def _serve(self) -> None:
        self._is_woken = False
        inbox, self._inbox = self._inbox, []
        now = self.cluster.timeline.now
        effects = self.machine.handle([event for event, _ in inbox], now)
        cost_s = sum(cost_s for _, cost_s in inbox)
        cost_s += sum(self._cost(effect) for effect in effects)
        self._free_at = now + cost_s
        self.cluster.timeline.after(
            cost_s + self.setting.decision_s + self.setting.latency_s, lambda: self._deliver(effects)
        )

    def _cost(self, effect: Effect) -> float:
        if isinstance(effect, SendCompute):
            return self.setting.message_s + self.setting.task_s * len(effect.compute.task) / 4
        return self.setting.message_s if isinstance(effect, TellWorker) else 0.0

    def _deliver(self, effects: Sequence[Effect]) -> None:
        touched: dict[int, SimWorker] = {}
        for effect in effects:
            if isinstance(effect, SendCompute | TellWorker):
                self.n_messages += 1
                worker = touched[effect.worker] = self.cluster.workers[effect.worker]
                self._obey(worker, effect)
        for worker in touched.values():
            worker.go_on()

    # ------------------------------------------------------------ the workers

    def _obey(self, worker: SimWorker, effect: SendCompute | TellWorker) -> None:
        if isinstance(effect, SendCompute):
            self._compute(worker, effect.compute)
            return
        message = effect.message
        if isinstance(message, Drop):
            worker.present.difference_update(unpack("I", message.objects, "objects"))
        elif isinstance(message, Cancel):
            for task in unpack("I", message.task, "task"):
                worker.take(task)
        elif isinstance(message, Retract):
            self._retract(worker, message)

    def _retract(self, worker: SimWorker, message: Retract) -> None:
        """Gives up the tasks that were given last and did not begin."""
        tasks = [task for _, task in reversed(worker.queue) if worker.present.issuperset(self.graph.inputs[task])]
        tasks = [task for task in tasks if self._kinds[task] == message.spec][: message.n_tasks]
        for task in tasks:
            worker.take(task)
        attempts = [self._attempts[worker.number, task] for task in tasks]
        self._say(worker, Retracted(SESSION, pack("I", tasks), pack("I", attempts)), len(tasks))

    def _compute(self, worker: SimWorker, compute: Compute) -> None:
        sources = unpack("I", compute.source, "source")
        holders = unpack("I", compute.source_holder, "holder")
        for place, (obj, holder, inline) in enumerate(zip(sources, holders, compute.source_inline, strict=True)):
            if inline:
                worker.present.add(obj)
            else:
                worker.fetch(obj, holder, self._n_given + place / len(sources))
        tasks, attempts = unpack("I", compute.task, "task"), unpack("I", compute.attempt, "attempt")
        for task, attempt in zip(tasks, attempts, strict=True):
            self._n_given += 1
            self._attempts[worker.number, task] = attempt
            worker.give(task, self._n_given)

    def _finished(self, worker: SimWorker, task: int) -> None:
        self._reports[worker.number].done.append(task)
        self._hold(worker)

    def _arrived(self, worker: SimWorker, obj: int) -> None:
        self._reports[worker.number].fetched.append(obj)
        self._hold(worker)

    def _hold(self, worker: SimWorker) -> None:
        reports = self._reports[worker.number]
        if not reports.is_held:
            reports.is_held = True
            self.cluster.timeline.after(HOLD_S if worker.queue else 0.0, lambda: self._report(worker))

    def _report(self, worker: SimWorker) -> None:
        reports = self._reports[worker.number]
        self._reports[worker.number] = Reports()
        if reports.done:
            self._say(worker, self._done(worker, reports.done), len(reports.done))
        if reports.fetched:
            self._say(worker, Fetched(SESSION, column(reports.fetched)), len(reports.fetched))

    def _say(self, worker: SimWorker, message: FromWorker, rows: int) -> None:
        self.n_messages += 1
        event, cost_s = WorkerSaid(worker.number, message), self.setting.message_s + rows * self.setting.task_s
        self.cluster.timeline.after(self.setting.latency_s, lambda: self._tell(event, cost_s))

    def _done(self, worker: SimWorker, tasks: array[int]) -> Done:
        graph = self.graph
        sizes = array("Q", [graph.size[obj] for task in tasks for obj in graph.outputs(task)])
        inline = [size <= MAX_INLINE_RESULT for size in sizes]
        return Done(
            session=SESSION,
            task=column(tasks),
            attempt=pack("I", [self._attempts[worker.number, task] for task in tasks]),
            duration_us=pack("I", [min(0xFFFFFFFF, int(graph.duration_s[task] * 1e6)) for task in tasks]),
            size=column(sizes),
            inline=pack("B", inline),
            data=memoryview(bytes(sum(size for size, is_inline in zip(sizes, inline, strict=True) if is_inline))),
        )
