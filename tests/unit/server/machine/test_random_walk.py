"""Clusters played at random: workers with stores, delayed messages, crashes, failures; a client that changes its mind.

Workers here are simple but honest: they run what they were given in any possible order, and give back a task whose
inputs they cannot get, which happens when news crosses. The invariants are checked after every step; at the end
everything comes to rest, and the workers hold exactly what the server believes.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

import pytest

from rain.core.failure import Cause, Failure
from rain.protocol.columns import pack
from rain.protocol.worker import (
    Cancel,
    Compute,
    Done,
    Drop,
    EndSession,
    Failed,
    Fetched,
    FromWorker,
    ServerPing,
    Stop,
    Unavailable,
    WorkerPong,
)
from rain.server.machine.effects import DropWorker, SendCompute, SendLocated, SendWaitDone, TellClient, TellWorker
from rain.server.machine.events import Tick, WorkerSaid
from rain.server.machine.stages import FAILED, FINISHED
from rain.server.machine.tables import AVAILABLE, KEPT
from tests.unit.server.machine.bench import Bench, numbers, spec

KINDS = [spec(), spec(2), spec(0), spec(retries=2), spec(cpus=2), spec(priority=3)]


@dataclass
class Job:
    """A task at a worker."""

    attempt: int
    inputs: list[int]
    outputs: list[int]


@dataclass
class Machine:
    """An honest worker."""

    number: int
    inbox: deque[object] = field(default_factory=deque)
    outbox: deque[FromWorker] = field(default_factory=deque)
    store: set[int] = field(default_factory=set)
    jobs: dict[int, Job] = field(default_factory=dict)
    fetching: dict[int, int] = field(default_factory=dict)

    def reads(self, bench: Bench) -> None:
        """Takes one message of the server."""
        match self.inbox.popleft():
            case Compute() as message:
                self._compute(bench, message)
            case Drop(_, objects):
                self.store -= set(numbers("I", objects))
            case Cancel(_, task, attempt):
                for number, tried in zip(numbers("I", task), numbers("I", attempt), strict=True):
                    if number in self.jobs and self.jobs[number].attempt == tried:
                        del self.jobs[number]
            case ServerPing():
                self.outbox.append(WorkerPong())
            case EndSession():
                self.store.clear()
                self.jobs.clear()
                self.fetching.clear()

    def _compute(self, bench: Bench, message: Compute) -> None:
        inputs = deque(numbers("I", message.inputs))
        sources = zip(
            numbers("I", message.source),
            numbers("I", message.source_holder),
            numbers("B", message.source_inline),
            strict=True,
        )
        for obj, holder, inline in sources:
            if inline:
                self.store.add(obj)
            elif obj not in self.store:
                self.fetching[obj] = holder
        columns = (numbers("I", column) for column in (message.task, message.attempt, message.n_inputs))
        for task, attempt, n_inputs in zip(*columns, strict=True):
            reads = [inputs.popleft() for _ in range(n_inputs)]
            made = {obj for job in self.jobs.values() for obj in job.outputs}
            absent = [obj for obj in reads if not (obj in self.store or obj in self.fetching or obj in made)]
            if absent:
                self._gives_back({task: attempt}, absent, self.number)
            else:
                self.jobs[task] = Job(attempt, reads, list(bench.outputs[task]))

    def runnable(self) -> list[int]:
        return [task for task, job in self.jobs.items() if self.store.issuperset(job.inputs)]

    def fetches(self, world: World) -> None:
        """One fetch ends, well or badly."""
        obj = world.random.choice(sorted(self.fetching))
        holder = self.fetching.pop(obj)
        peer = world.workers.get(holder)
        if (holder == 0 or (peer is not None and obj in peer.store)) and world.random.random() < 0.97:
            self.store.add(obj)
            self.outbox.append(Fetched(1, pack("I", [obj])))
            return
        back = {task: job.attempt for task, job in self.jobs.items() if obj in job.inputs}
        for task in back:
            del self.jobs[task]
        self._gives_back(back, [obj], holder)

    def _gives_back(self, back: dict[int, int], objects: list[int], holder: int) -> None:
        holders = pack("I", [holder] * len(objects))
        self.outbox.append(Unavailable(1, pack("I", objects), holders, pack("I", back), pack("I", back.values())))

    def ends(self, world: World, p_fail: float) -> None:
        """One task ends, well or badly."""
        task = world.random.choice(self.runnable())
        job = self.jobs.pop(task)
        if world.random.random() < p_fail:
            self.outbox.append(Failed(1, task, job.attempt, Failure(cause=Cause.TASK, message="boom")))
            return
        sizes = [world.random.choice((0, 10, 100_000)) for _ in job.outputs]
        self.store.update(job.outputs)
        inline = [int(size <= 10) for size in sizes]
        self.outbox.append(
            Done(
                session=1,
                task=pack("I", [task]),
                attempt=pack("I", [job.attempt]),
                duration_us=pack("I", [world.random.choice((10, 5000, 3_000_000))]),
                size=pack("Q", sizes),
                inline=pack("B", inline),
                data=memoryview(bytes(sum(size for size in sizes if size <= 10))),
            )
        )


class World:
    """A bench with honest workers and delays, played from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.bench = Bench(fail_fast=self.random.random() < 0.2)
        self.workers: dict[int, Machine] = {}
        self.p_fail = self.random.choice((0.0, 0.02))
        self.p_crash = self.random.choice((0.0, 0.01, 0.05))
        self.p_drain = self.random.choice((0.0, 0.01, 0.05))
        self.answered: set[int] = set()
        self.asked: set[int] = set()
        self.kept: list[int] = []

    def route(self) -> None:
        """Hands the machine's orders to the workers."""
        for effect in self.bench.effects:
            if isinstance(effect, TellWorker) and isinstance(effect.message, Stop):
                del self.workers[effect.worker]
            elif isinstance(effect, SendCompute | TellWorker) and effect.worker in self.workers:
                self.workers[effect.worker].inbox.append(
                    effect.compute if isinstance(effect, SendCompute) else effect.message
                )
            elif isinstance(effect, SendLocated):
                self.answered.add(effect.located.request)
            elif isinstance(effect, SendWaitDone):
                self.answered.add(effect.done.request)
            elif isinstance(effect, TellClient):
                self.answered.add(getattr(effect.message, "request", -1))
            assert not isinstance(effect, DropWorker), effect
        self.bench.effects.clear()

    def submits(self) -> None:
        bench, choose = self.bench, self.random
        objects, tasks = bench.session.objects, bench.session.tasks
        usable = [
            obj
            for obj in range(len(objects))
            if objects.flags[obj] & AVAILABLE or (objects.producer[obj] < len(tasks) and self._will_be(obj))
        ][-30:]
        for _ in range(choose.randint(0, 2)):
            usable.append(bench.constant(choose.choice((1, 100, 100_000)), keep=choose.random() < 0.2))
        for _ in range(choose.randint(1, 15)):
            reads = choose.choices(usable, k=choose.choice((0, 1, 1, 2, 3))) if usable else ()
            made = bench.task(*reads, spec=choose.choice(KINDS), keep=choose.random() < 0.3)
            usable += made.outputs
            self.kept += made.outputs
        bench.submit()

    def _will_be(self, obj: int) -> bool:
        session = self.bench.session
        return session.tasks.stage[session.objects.producer[obj]] != FINISHED

    def client_acts(self) -> None:
        bench, choose = self.bench, self.random
        if bench.session.failed_reason is not None:
            return
        action = choose.random()
        n = len(bench.session.tasks)
        if action < 0.5 and n < 150:
            self.submits()
        elif action < 0.65 and self.kept:
            bench.unkeeps(*choose.choices(self.kept, k=2))
        elif action < 0.7 and n:
            self.asked.add(bench.cancels(choose.randrange(n)))
        elif action < 0.85 and n:
            some = choose.random() < 0.5
            self.asked.add(bench.waits(*choose.choices(range(n), k=3), some=some, everything=choose.random() < 0.3))
        elif len(bench.session.objects):
            self.asked.add(bench.locates(*choose.choices(range(len(bench.session.objects)), k=2)))

    def step(self, *, quiet: bool = False) -> bool:
        """One thing happens; False when nothing can happen any more (`quiet`: without new work and crashes)."""
        choose = self.random
        acts: list[tuple[str, Machine]] = []
        for worker in self.workers.values():
            acts += [("reads", worker)] * (3 * bool(worker.inbox))
            acts += [("reports", worker)] * (3 * bool(worker.outbox))
            acts += [("ends", worker)] * (2 * bool(worker.runnable()))
            acts += [("fetches", worker)] * (2 * bool(worker.fetching))
        if not quiet and choose.random() < self.p_crash and self.workers:
            number = choose.choice(sorted(self.workers))
            del self.workers[number]
            self.bench.worker_leaves(number)
        elif not quiet and (len(self.workers) < 3 and choose.random() < 0.1):
            self.joins()
        elif not quiet and self.workers and choose.random() < self.p_drain:
            self.asked.add(self.bench.drains(choose.choice(sorted(self.workers))))
        elif self.is_anybody_drained() and choose.random() < 0.1:
            self.bench.happens(Tick())
        elif not quiet and choose.random() < 0.08:
            self.client_acts()
        elif acts:
            act, worker = choose.choice(acts)
            self.acts(act, worker, quiet)
        elif self.is_anybody_drained():
            self.bench.happens(Tick())
        else:
            return False
        self.route()
        return True

    def is_anybody_drained(self) -> bool:
        return any(worker.drain is not None for worker in self.bench.machine.state.workers.values())

    def joins(self) -> None:
        number = self.bench.worker_joins(cpus=self.random.choice((1, 2, 4)))
        self.workers[number] = Machine(number)

    def acts(self, act: str, worker: Machine, quiet: bool) -> None:
        if act == "reads":
            worker.reads(self.bench)
        elif act == "ends":
            worker.ends(self, 0.0 if quiet else self.p_fail)
        elif act == "fetches":
            worker.fetches(self)
        else:
            n = self.random.randint(1, len(worker.outbox))
            messages = [worker.outbox.popleft() for _ in range(n)]
            self.bench.happens(*(WorkerSaid(worker.number, message) for message in messages))

    def comes_to_rest(self) -> None:
        self.joins()
        number = self.bench.worker_joins(cpus=4)
        self.workers[number] = Machine(number)
        self.route()
        for _ in range(20_000):
            if not self.step(quiet=True):
                return
        raise AssertionError("the cluster does not come to rest")


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_the_state_is_consistent_and_everything_ends(seed: int) -> None:
    world = World(seed)
    world.joins()
    for _ in range(400):
        world.step()
    world.comes_to_rest()
    session = world.bench.session
    assert session.unfinished == 0
    assert world.asked <= world.answered
    assert not session.waits
    assert not session.locates
    for number, worker in world.workers.items():
        held = {obj for obj in range(len(session.objects)) if session.objects.is_held_by(obj, number)}
        assert worker.store == held
    for obj, flags in enumerate(session.objects.flags):
        if flags & KEPT and session.failed_reason is None and session.objects.producer[obj] < len(session.tasks):
            assert flags & AVAILABLE or session.tasks.stage[session.objects.producer[obj]] >= FAILED
