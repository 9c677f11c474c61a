"""Graphs of a hundred thousand tasks: no recursion, few messages, small tables."""

from __future__ import annotations

import sys
from array import array
from collections import deque
from collections.abc import Sequence
from types import FrameType

from rain.core.resources import UNIT, Offer
from rain.protocol.client import OpenSession, Submit, Unkeep, Wait, WaitDone
from rain.protocol.columns import column, pack
from rain.protocol.worker import Done
from rain.server.machine import invariants
from rain.server.machine.effects import Effect, ForgetTasks, SendCompute, TellClient
from rain.server.machine.events import ClientJoined, ClientSaid, Event, WorkerJoined, WorkerLeft, WorkerSaid
from rain.server.machine.machine import ServerMachine
from tests.unit.server.machine.bench import PLAIN

N = 100_000


class Crowd:
    """A machine with workers that finish at once whatever they are given; checked at the end, not at every step."""

    def __init__(self, n_inputs: list[int], inputs: list[int], *, kept: Sequence[int] = (N - 1,)) -> None:
        n = len(n_inputs)
        self.machine = ServerMachine(1)
        self.n_messages = 0
        self.seen: list[Effect] = []
        self.reports: deque[WorkerSaid] = deque()
        self.happens(ClientJoined(1), ClientSaid(1, OpenSession(1)))
        submit = Submit(
            session=1,
            first_spec=0,
            specs=(PLAIN,),
            first_task=0,
            n_tasks=n,
            spec=pack("I", [0] * n),
            first_output=pack("I", range(n)),
            n_inputs=pack("I", n_inputs),
            inputs=pack("I", inputs),
            args_size=pack("I", [0] * n),
            first_object=0,
            n_objects=n,
            kept=pack("I", kept),
        )
        self.happens(ClientSaid(1, submit), ClientSaid(1, Wait(2, 1, all_tasks=True)))

    def happens(self, *events: Event) -> None:
        for effect in self.machine.handle(events, 1.0):
            if isinstance(effect, SendCompute):
                self.n_messages += 1
                self.reports.append(self.report(effect))
            else:
                self.seen.append(effect)

    def report(self, sent: SendCompute) -> WorkerSaid:
        n = len(sent.compute.task) // 4
        done = Done(
            session=1,
            task=sent.compute.task,
            attempt=sent.compute.attempt,
            duration_us=column(array("I", (50,)) * n),
            size=column(array("Q", (100_000,)) * n),
            inline=column(array("B", bytes(n))),
        )
        return WorkerSaid(sent.worker, done)

    def joins(self, worker: int) -> None:
        self.happens(WorkerJoined(worker, "here", worker, Offer(cpus=4 * UNIT), "127.0.0.1", worker, ""))

    def runs(self) -> None:
        while self.reports:
            self.happens(self.reports.popleft())
        invariants.check(self.machine.state)

    @property
    def n_unfinished(self) -> int:
        return self.machine.state.sessions[1].unfinished

    def n_forgotten(self) -> int:
        return sum(len(effect.tasks) for effect in self.seen if isinstance(effect, ForgetTasks))


def test_independent_tasks_take_few_messages_and_one_answer() -> None:
    crowd = Crowd([0] * N, [], kept=())
    for worker in (1, 2):
        crowd.joins(worker)
    crowd.runs()
    assert crowd.n_unfinished == 0
    assert crowd.n_messages < N / 100
    assert sum(isinstance(effect, TellClient) and isinstance(effect.message, WaitDone) for effect in crowd.seen) == 1
    assert crowd.n_forgotten() == N


def test_a_chain_runs_in_few_messages_is_recomputed_and_forgotten_without_recursion() -> None:
    crowd = Crowd([0] + [1] * (N - 1), list(range(N - 1)))
    crowd.joins(1)
    crowd.runs()
    assert crowd.n_unfinished == 0
    assert crowd.n_messages < N / 100
    assert crowd.n_forgotten() == 0
    crowd.happens(WorkerLeft(1))
    assert crowd.n_unfinished == N
    crowd.joins(2)
    crowd.runs()
    assert crowd.n_unfinished == 0
    crowd.happens(ClientSaid(1, Unkeep(1, pack("I", [N - 1]))))
    assert crowd.n_forgotten() == N
    invariants.check(crowd.machine.state)


def test_a_task_may_read_a_hundred_thousand_results() -> None:
    crowd = Crowd([0] * (N - 1) + [N - 1], list(range(N - 1)))
    for worker in (1, 2):
        crowd.joins(worker)
    crowd.runs()
    assert crowd.n_unfinished == 0


def test_a_hundred_thousand_tasks_may_read_one_result() -> None:
    crowd = Crowd([0] + [1] * (N - 1), [0] * (N - 1))
    for worker in (1, 2):
        crowd.joins(worker)
    crowd.runs()
    assert crowd.n_unfinished == 0
    assert crowd.n_messages < N / 100


def test_the_tables_take_less_than_a_hundred_and_fifty_bytes_a_task() -> None:
    crowd = Crowd([0] + [1] * (N - 1), [0] * (N - 1))
    session = crowd.machine.state.sessions[1]
    columns = [getattr(table, name) for table in (session.tasks, session.objects) for name in type(table).__slots__]
    assert sum(values.__sizeof__() for values in columns) < 150 * N


def test_objects_that_are_alike_are_unkept_by_slices() -> None:
    crowd = Crowd([0] * N, [], kept=range(N))
    for worker in (1, 2):
        crowd.joins(worker)
    crowd.runs()
    table = crowd.machine.state.sessions[1].objects
    assert len(set(table.holder)) == 2
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        crowd.happens(ClientSaid(1, Unkeep(1, pack("I", range(N)))))
    finally:
        sys.setprofile(None)
    assert calls < N / 4
    assert crowd.n_forgotten() == N
    assert set(table.flags) == {0}
    assert {worker.n_objects for worker in crowd.machine.state.workers.values()} == {0}
    invariants.check(crowd.machine.state)
