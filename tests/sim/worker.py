"""A model of a worker's shell around the real machine: a store, transfers, executors, a connection."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import msgspec

from rain.core.errors import InvariantViolation
from rain.core.ids import SERVER, object_name
from rain.core.liveness import Tick
from rain.core.resources import UNIT, Offer
from rain.protocol.columns import EMPTY, unpack
from rain.protocol.worker import Compute, FromServer, FromWorker
from rain.worker.machine import invariants
from rain.worker.machine.effects import (
    CloseSessionStore,
    Complain,
    Discard,
    Effect,
    Exit,
    Fetch,
    KillExecutor,
    LearnPeers,
    QueuedRun,
    ReportDone,
    RunBatch,
    StartExecutor,
    Tell,
)
from rain.worker.machine.events import (
    Event,
    ExecutorReported,
    InputsArrived,
    InputsUnavailable,
    ServerSaid,
)
from rain.worker.machine.machine import WorkerMachine
from tests.sim.executor import ModelExecutor
from tests.sim.timeline import Link
from tests.sim.workload import Blob

if TYPE_CHECKING:
    from tests.sim.world import World

TICK_S = 0.5
#: A holder that does not answer is given up by who asks it.
FETCH_PATIENCE_S = 5.0


class ModelWorker:
    """One worker, from its welcome to its end."""

    def __init__(self, world: World, number: int, cpus: int) -> None:
        self.world = world
        self.number = number
        self.name = f"w{number}"
        self.offer = Offer(cpus=cpus * UNIT)
        self.machine = WorkerMachine(self.offer, number=number)
        self.store: dict[tuple[int, int], Blob] = {}
        self.executors: dict[int, ModelExecutor] = {}
        self.is_alive = True
        #: Silent until then: nothing is handled or sent, as after SIGSTOP.
        self.frozen_until = 0.0
        self._inbox: list[object] = []
        self._is_woken = False
        self._held_reports: list[FromWorker] = []
        self._peers = {SERVER}
        delay_s = world.link_delay_s()
        self.up: Link[FromWorker] = Link(
            world.timeline, world.random, delay_s, lambda message: world.server.worker_said(self, message)
        )
        self.down: Link[FromServer] = Link(world.timeline, world.random, delay_s, self.local)
        self._carry_out(self.machine.start(world.timeline.now))
        self._tick()

    @property
    def is_well(self) -> bool:
        """It and the server hear each other."""
        talks = self.frozen_until <= self.world.timeline.now
        return self.is_alive and talks and not (self.up.is_cut or self.down.is_cut)

    # ------------------------------------------------------------ what happens to it

    def local(self, happened: object) -> None:
        """An event, or a message of the server, for the machine's next turn."""
        if not self.is_alive:
            return
        self._inbox.append(happened)
        if not self._is_woken:
            self._is_woken = True
            self.world.timeline.after(self.world.random.choice((0.0, 0.0, 1e-4, 1e-3)), self._wake)

    def end(self) -> None:
        """The worker and all its processes are gone; so is its connection."""
        if not self.is_alive:
            return
        self.world.log(self.name, "ends")
        self.is_alive = False
        self.up.cut()
        self.down.cut()
        for executor in self.executors.values():
            executor.is_alive = False
        self.store.clear()
        self.world.worker_gone(self)

    def lost_connection(self) -> None:
        """The server listens to this worker no more; it finds out, and ends."""
        self.up.cut()
        self.down.cut()
        self.world.timeline.after(self.world.random.uniform(0.0, 3.0), self.end)

    def wants(self, session: int, task: QueuedRun, executor: int) -> bool:
        """Whether the machine still expects this attempt of this executor."""
        known = self.machine.state.sessions.get(session)
        current = None if known is None else known.tasks.get(task.task)
        return current is not None and current.executor is not None and current.executor.number == executor

    # ------------------------------------------------------------ the machine's turns

    def _tick(self) -> None:
        if self.is_alive:
            self.local(Tick())
            self.world.timeline.after(TICK_S, self._tick)

    def _wake(self) -> None:
        if not self.is_alive:
            return
        now = self.world.timeline.now
        if now < self.frozen_until:
            self.world.timeline.after(self.frozen_until - now, self._wake)
            return
        self._is_woken = False
        happened, self._inbox = self._inbox, []
        events: list[Event] = []
        for each in happened:
            event: Event = each if isinstance(each, Event) else ServerSaid(each)
            self._take_in(event)
            events.append(event)
            if not isinstance(event, Tick):
                self.world.log(self.name, event)
        effects = self.machine.handle(events, now)
        invariants.check(self.machine.state)
        self._carry_out(effects)

    def _take_in(self, event: Event) -> None:
        """The bytes that come with an event are in the store before the machine hears of it."""
        if isinstance(event, ServerSaid) and isinstance(event.message, Compute):
            self._take_sources(event.message)
        elif isinstance(event, ExecutorReported):
            results = self.executors[event.executor].results
            planned = self.world.graphs[event.session].tasks
            tasks = [done.task for done in event.done]
            tasks += [task for done in event.ranges for task in range(done.task, done.task + done.count)]
            for task in tasks:
                for obj in planned[task].outputs:
                    blob = results.pop((event.session, obj), None)
                    if blob is not None:
                        self.store[(event.session, obj)] = blob

    def _take_sources(self, compute: Compute) -> None:
        objects = unpack("I", compute.source, "source")
        sizes = unpack("Q", compute.source_size, "size")
        position = 0
        for obj, size, inline in zip(objects, sizes, compute.source_inline, strict=True):
            if inline:
                data = compute.source_data[position : position + size]
                position += size
                self.store[(compute.session, obj)] = Blob.of(data)

    # ------------------------------------------------------------ what the machine orders

    def _carry_out(self, effects: list[Effect]) -> None:
        being_made: set[tuple[int, int]] = set()
        for effect in effects:
            self.world.log(self.name, effect)
            match effect:
                case RunBatch():
                    self._check_inputs(effect)
                    self.executors[effect.executor].give(effect)
                    being_made |= {
                        (effect.session, run.first_output + output)
                        for run in effect.runs
                        for output in range(run.count * run.n_outputs)
                    }
                case ReportDone():
                    self._report(effect)
                case Fetch():
                    self._fetch(effect)
                case Tell():
                    self._send_reports()
                    self.up.send(effect.message)
                case Discard():
                    for obj in effect.objects:
                        if (effect.session, obj) in being_made:
                            name = object_name(effect.session, obj)
                            raise InvariantViolation(f"{self.name}: {name} may be made already when its old copy goes")
                        self.store.pop((effect.session, obj), None)
                case StartExecutor():
                    if effect.executor in self.executors:
                        raise InvariantViolation(f"{self.name}: executor {effect.executor} was there before")
                    self.executors[effect.executor] = ModelExecutor(self, effect.executor)
                case KillExecutor():
                    self._kill(self.executors[effect.executor])
                case LearnPeers():
                    self._peers.update(peer.number for peer in effect.peers)
                case CloseSessionStore():
                    self._close_session(effect)
                case Complain():
                    pass
                case Exit():
                    self.end()

    def _check_inputs(self, batch: RunBatch) -> None:
        graph = self.world.graphs[batch.session]
        made: set[int] = set()
        for run in batch.runs:
            self.world.n_inner_edges += len(run.inner)
            if not made.issuperset(run.inner):
                raise InvariantViolation(
                    f"{self.name}: s{batch.session}.t{run.task} reads what no task before it makes"
                )
            made.update(range(run.first_output, run.first_output + run.count * run.n_outputs))
            for obj in set(run.inputs).difference(run.inner):
                if self.store.get((batch.session, obj)) != graph.blobs[obj]:
                    name = object_name(batch.session, obj)
                    raise InvariantViolation(f"{self.name}: {name} is missing or wrong when its reader is to run")

    def _report(self, effect: ReportDone) -> None:
        data = bytearray()
        graph = self.world.graphs[effect.done.session]
        for obj, inline in zip(effect.objects, effect.done.inline, strict=True):
            blob = self.store.get((effect.done.session, obj))
            if blob != graph.blobs[obj]:
                name = object_name(effect.done.session, obj)
                raise InvariantViolation(f"{self.name}: {name} is reported, but the store has {blob}")
            if inline and blob is not None:
                data += blob.data
        self._held_reports.append(msgspec.structs.replace(effect.done, data=memoryview(data) if data else EMPTY))
        if effect.urgent:
            self._send_reports()
        else:
            self.world.timeline.after(1e-3, self._send_reports)

    def _send_reports(self) -> None:
        for report in self._held_reports:
            self.up.send(report)
        self._held_reports.clear()

    def _kill(self, executor: ModelExecutor) -> None:
        self.world.timeline.after(self.world.random.uniform(1e-4, 0.01), lambda: executor.die(exit_code=None, signal=9))

    def _close_session(self, effect: CloseSessionStore) -> None:
        for key in [key for key in self.store if key[0] == effect.session]:
            del self.store[key]
        for number in effect.executors:
            self.executors[number].specs.pop(effect.session, None)

    # ------------------------------------------------------------ transfers

    def _fetch(self, fetch: Fetch) -> None:
        if fetch.holder not in self._peers:
            raise InvariantViolation(f"{self.name} does not know how to reach w{fetch.holder}")
        for obj in fetch.objects:
            self.world.timeline.after(self.world.transfer_s(), lambda obj=obj: self._ask(fetch, obj))

    def _ask(self, fetch: Fetch, obj: int) -> None:
        """The question is at the holder."""
        world = self.world
        holder = world.workers.get(fetch.holder)
        if fetch.holder == SERVER:
            blob = world.server.stash.get((fetch.session, obj))
        elif holder is None or not holder.is_alive or world.fetch_fails():
            blob = None
        elif world.timeline.now < holder.frozen_until:
            world.timeline.after(FETCH_PATIENCE_S, lambda: self._answered(fetch, obj, None))
            return
        else:
            blob = holder.store.get((fetch.session, obj))
        world.timeline.after(world.transfer_s(), lambda: self._answered(fetch, obj, blob))

    def _answered(self, fetch: Fetch, obj: int, blob: Blob | None) -> None:
        if not self.is_alive:
            return
        objects = array("I", [obj])
        if blob is None:
            self.local(InputsUnavailable(fetch.session, fetch.holder, objects))
        elif self.world.disk_is_full():
            self.local(InputsUnavailable(fetch.session, fetch.holder, objects, "the disk is full"))
        else:
            self.store[(fetch.session, obj)] = blob
            self.local(InputsArrived(fetch.session, objects, array("Q", [blob.size])))
