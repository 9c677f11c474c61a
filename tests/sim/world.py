"""A whole cluster in one thread, from one seed: the real machines of server and workers, models of everything else."""

from __future__ import annotations

from random import Random

from rain.core.errors import InvariantViolation
from rain.core.resources import UNIT
from rain.protocol.client import Shutdown, ToClient
from tests.sim import checks
from tests.sim.client import ModelClient
from tests.sim.faults import Faults, choose
from tests.sim.server import ModelServer
from tests.sim.timeline import Timeline
from tests.sim.trace import Trace
from tests.sim.worker import ModelWorker
from tests.sim.workload import Graph

#: After the last fault, everything must be over in this (virtual) time.
LIMIT_S = 900.0
#: News, drops and restarts that are under way need this long.
SETTLE_S = 20.0


class World:
    """One run."""

    def __init__(self, seed: int, *, loud: bool = False) -> None:
        self.random = Random(seed)
        self.faults: Faults = choose(self.random)
        self.trace = Trace(loud=loud)
        self.timeline = Timeline()
        #: No more faults.
        self.healed = False
        #: Clients end their sessions.
        self.closing = False
        #: Inputs that tasks had from others of their batch.
        self.n_inner_edges = 0
        #: By session.
        self.graphs: dict[int, Graph] = {}
        self.workers: dict[int, ModelWorker] = {}
        self.clients: dict[int, ModelClient] = {}
        self.log("world", f"seed {seed}, faults: {self.faults.describe()}")
        self.server = ModelServer(self, seed)
        for _ in range(self.random.randint(1, 4)):
            self.timeline.after(self.random.uniform(0.0, 1.0), self.worker_joins)
        for number in range(1, self.random.choice((2, 2, 3)) + 1):
            graphs = [
                Graph(self.random, self.faults, f"{number}.{index}") for index in range(self.random.choice((1, 1, 2)))
            ]
            self.clients[number] = ModelClient(self, number, graphs)
        self._plan_faults()

    def run(self) -> None:
        """Plays the run to its end. Raises InvariantViolation when anything is wrong."""
        self._until("faults are over", self.faults.over_after_s, lambda: False, must=False)
        self._heal()
        self._until("clients have what they want", LIMIT_S, lambda: all(each.is_done for each in self.clients.values()))
        self._until("who was silent is well again or gone", LIMIT_S, self._all_are_well)
        self._until("what was lost is made again", LIMIT_S, self._all_is_made)
        self._until("rest", SETTLE_S, lambda: False, must=False)
        checks.at_rest(self)
        self.closing = True
        self._until("all is closed", SETTLE_S, lambda: False, must=False)
        checks.closed(self)
        self._shut_down()
        self._until("all workers have ended", SETTLE_S, lambda: not self.living_workers())

    # ------------------------------------------------------------ what the models need

    def log(self, actor: str, what: object) -> None:
        """Something happened."""
        self.trace.add(self.timeline.now, actor, what)

    def living_workers(self) -> list[ModelWorker]:
        """Those that have not ended."""
        return [worker for worker in self.workers.values() if worker.is_alive]

    def tell_client(self, number: int, message: ToClient) -> None:
        """The server's shell sends to a client, which may be gone."""
        self.clients[number].down.send(message)

    def worker_gone(self, worker: ModelWorker) -> None:
        """The server finds out in a while."""
        self.timeline.after(self.random.uniform(0.0, 3.0), lambda: self.server.worker_left(worker))

    def link_delay_s(self) -> float:
        """The mean delay of a new link."""
        return self.random.choice((0.01, 0.3, 1.0)) if self.faults.slow_links else self.random.choice((1e-4, 1e-3))

    def transfer_s(self) -> float:
        """How long the question for an object, or the object, is under way."""
        return self.random.choice((1e-4, 0.01, 0.5) if self.faults.slow_links else (1e-4, 1e-3, 0.01))

    def fetch_fails(self) -> bool:
        """Whether this fetch from a living worker fails."""
        return not self.healed and self.random.random() < self.faults.failing_fetches

    def disk_is_full(self) -> bool:
        """Whether what arrived at a worker cannot be written there."""
        return self.faults.full_disks > 0 and not self.healed and self.random.random() < self.faults.full_disks

    # ------------------------------------------------------------ faults

    def worker_joins(self, cpus: int | None = None) -> None:
        """A new worker, with a number of its own."""
        number = len(self.workers) + 1
        worker = ModelWorker(self, number, cpus or self.random.choice((1, 2, 4)))
        self.workers[number] = worker
        self.log(worker.name, f"joins with {worker.offer}")
        self.server.worker_joins(worker)

    def _plan_faults(self) -> None:
        faults = self.faults
        planned = (
            [self._crash] * faults.worker_crashes
            + [self._silence] * faults.worker_silences
            + [self._half_open] * faults.half_open_links
            + [self.worker_joins] * faults.worker_joins
            + [self._kill_executor] * faults.executor_deaths
            + [self._client_leaves] * faults.client_leaves
        )
        for fault in planned:
            self.timeline.after(self.random.uniform(0.5, faults.over_after_s), lambda fault=fault: self._strike(fault))

    def _strike(self, fault: object) -> None:
        if not self.healed and callable(fault):
            fault()

    def _crash(self) -> None:
        living = self.living_workers()
        if living:
            self.random.choice(living).end()

    def _silence(self) -> None:
        living = self.living_workers()
        if living:
            worker = self.random.choice(living)
            until = self.timeline.now + self.random.choice((3.0, 10.0, 30.0))
            worker.frozen_until = max(worker.frozen_until, until)
            self.log(worker.name, f"is silent until {worker.frozen_until:.3f}")

    def _half_open(self) -> None:
        living = self.living_workers()
        if living:
            worker = self.random.choice(living)
            link = self.random.choice((worker.up, worker.down))
            self.log(worker.name, "is not heard any more" if link is worker.up else "does not hear any more")
            link.cut()

    def _kill_executor(self) -> None:
        living = [(worker, each) for worker in self.living_workers() for each in worker.executors.values()]
        living = [(worker, each) for worker, each in living if each.is_alive]
        if living:
            worker, executor = self.random.choice(living)
            self.log(worker.name, f"executor {executor.number} dies")
            executor.die(exit_code=None, signal=self.random.choice((6, 9, 11)))

    def _client_leaves(self) -> None:
        self.random.choice(list(self.clients.values())).leave()

    def _heal(self) -> None:
        self.healed = True
        self.log("world", "faults are over")
        if not any(worker.offer.cpus >= 2 * UNIT for worker in self.living_workers() if worker.is_well):
            self.worker_joins(cpus=4)

    def _shut_down(self) -> None:
        client = self.clients[len(self.clients) + 1] = ModelClient(self, len(self.clients) + 1, ())
        client.ask_and_forget(Shutdown)

    def _all_are_well(self) -> bool:
        return all(worker.is_well for worker in self.living_workers())

    def _all_is_made(self) -> bool:
        return not any(session.unfinished for session in self.server.machine.state.sessions.values())

    def _until(self, what: str, limit_s: float, until, *, must: bool = True) -> None:  # type: ignore[no-untyped-def]
        if not self.timeline.run(limit_s, until) and must:
            raise InvariantViolation(f"it does not come to this in {limit_s:g} s: {what}")
