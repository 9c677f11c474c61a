"""The shell between a machine that a test plays and everything else."""

from __future__ import annotations

import asyncio
import os
from array import array
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rain.core.failure import Cause, Failure
from rain.core.liveness import Tick
from rain.core.spec import TaskSpec
from rain.protocol.columns import EMPTY, pack
from rain.protocol.executor import ForgetSession, Produced, Report, Run, TaskDone, TaskFailed, ToExecutor
from rain.protocol.transfer import Peer
from rain.protocol.worker import (
    Compute,
    Done,
    Failed,
    FromWorker,
    ServerPing,
    Unavailable,
    WorkerPong,
    from_worker_decoder,
)
from rain.wire.holder import Stored
from rain.worker.executors import ProcessEnd
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
from rain.worker.machine.events import Event, ExecutorEnded, ExecutorReady, ExecutorReported, InputsArrived, ServerSaid
from rain.worker.shell import WorkerShell
from rain.worker.store import ObjectStore
from rain.worker.transfers import Transfers


class PlayedMachine:
    """Answers each call with the next effects that the test prepared, and records the calls."""

    def __init__(self) -> None:
        self.calls: list[list[Event]] = []
        self.effects: list[Effect] = []
        self.n_ready = 0
        self.n_wanted = 2
        self.called = asyncio.Event()

    def start(self, now: float) -> list[Effect]:
        return [StartExecutor(0), StartExecutor(1)]

    def handle(self, events: Iterable[Event], now: float) -> list[Effect]:
        self.calls.append(list(events))
        self.called.set()
        effects, self.effects = self.effects, []
        return effects


class World:
    """A shell, and what it does, in order."""

    def __init__(self, folder: Path) -> None:
        self.machine = PlayedMachine()
        self.store = ObjectStore(folder)
        self.deeds: list[Any] = []
        self.shell = WorkerShell(
            self.machine,
            self.store,
            number=4,
            send=lambda data: self.deeds.append(from_worker_decoder.decode(data)),
            on_ready=lambda: self.deeds.append("ready"),
            on_exit=lambda reason: self.deeds.append(("exit", reason)),
        )
        self.shell.start(self, Transfers(self, self.store, self.shell.post))

    # What executors are asked to do.

    def start(self, executor: int) -> None:
        self.deeds.append(("start", executor))

    def send(self, executor: int, message: ToExecutor) -> None:
        self.deeds.append((executor, message))

    def kill(self, executor: int) -> None:
        self.deeds.append(("kill", executor))

    # What holders are asked for.

    def learn(self, peers: Iterable[Peer]) -> None:
        self.deeds.append(("learn", tuple(peers)))

    async def get(self, holder: int, session: int, objects: Sequence[int]) -> list[Stored | None]:
        return [Stored(1, None, b"x") for _ in objects]

    async def next_call(self) -> list[Event]:
        async with asyncio.timeout(10):
            while not self.machine.calls:
                self.machine.called.clear()
                await self.machine.called.wait()
        return self.machine.calls.pop(0)

    def do(self, *effects: Effect) -> list[Any]:
        """What the shell does for these effects."""
        self.deeds.clear()
        self.machine.effects = list(effects)
        self.shell.server_said([])
        self.machine.calls.clear()
        return list(self.deeds)


def run(scenario: Callable[[World], Coroutine[Any, Any, None]], folder: Path) -> None:
    async def main() -> None:
        world = World(folder)
        try:
            await scenario(world)
        finally:
            world.shell.close()

    asyncio.run(main())


def test_the_first_executors_are_made_at_the_start(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        assert w.deeds == [("start", 0), ("start", 1)]

    run(scenario, tmp_path)


def test_everything_of_one_wake_is_one_call_of_the_machine(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        w.shell.executor_ready(0)
        w.shell.executor_ready(1)
        w.shell.executor_ended(0, ProcessEnd(1, None, 3, "oh"))
        assert w.machine.calls == []
        assert await w.next_call() == [ExecutorReady(0), ExecutorReady(1), ExecutorEnded(0, 1, None, 3, "oh")]

    run(scenario, tmp_path)


def test_messages_of_the_server_are_handled_at_once_with_inline_sources_in_the_store(tmp_path: Path) -> None:
    message = Compute(
        session=1, task=EMPTY, spec=EMPTY, attempt=EMPTY, first_output=EMPTY, n_inputs=EMPTY,
        source=pack("I", [4]), source_holder=pack("I", [0]), source_size=pack("Q", [3]), source_inline=pack("B", [1]),
        source_data=memoryview(b"abc"),
    )  # fmt: skip

    async def scenario(w: World) -> None:
        w.shell.executor_ready(0)
        w.shell.server_said([message, ServerPing()])
        assert w.machine.calls == [[ExecutorReady(0), ServerSaid(message), ServerSaid(ServerPing())]]
        assert w.store.get(1, 4) == Stored(3, None, b"abc")

    run(scenario, tmp_path)


def test_time_passes_by_itself(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        assert await w.next_call() == [Tick()]

    run(scenario, tmp_path)


def test_ready_is_said_once_when_all_executors_stand(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        w.machine.n_ready = 1
        assert w.do() == []
        w.machine.n_ready = 2
        assert w.do() == ["ready"]
        w.machine.n_ready = 3
        assert w.do() == []

    run(scenario, tmp_path)


def test_results_are_in_the_store_when_the_machine_hears_and_leave_with_their_bytes(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        task = QueuedRun(7, 0, 3, 20, memoryview(b""), ())
        [(executor, batch)] = w.do(RunBatch(5, 1, ((3, TaskSpec("python")),), (task,)))
        assert executor == 5
        assert isinstance(batch, Run)
        done = TaskDone(7, 0, 10, (Produced(3, None, b"abc"),))
        w.shell.executor_reported(5, Report(1, (done,)))
        assert await w.next_call() == [ExecutorReported(5, 1, (done,), ())]
        columns = {"task": pack("I", [7]), "attempt": pack("I", [0]), "duration_us": pack("I", [10])}
        report = Done(session=1, **columns, size=pack("Q", [3]), inline=pack("B", [1]))
        sent, pong = w.do(ReportDone(report, array("I", [20]), False), Tell(WorkerPong()), Discard(1, array("I", [20])))
        assert isinstance(sent, Done)
        assert bytes(sent.data) == b"abc"
        assert pong == WorkerPong()
        assert w.store.get(1, 20) is None

    run(scenario, tmp_path)


def test_fetched_objects_become_events(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        peer = Peer(2, "there", 9, "k")
        assert w.do(LearnPeers((peer,)), Fetch(1, 2, array("I", [4]), array("Q", [1]))) == [("learn", (peer,))]
        assert await w.next_call() == [InputsArrived(1, array("I", [4]), array("Q", [1]))]
        assert w.store.get(1, 4) == Stored(1, None, b"x")

    run(scenario, tmp_path)


def test_a_closed_session_is_forgotten_everywhere(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        w.store.put_bytes(1, 4, b"x")
        deeds = w.do(Fetch(1, 2, array("I", [5]), array("Q", [1])), CloseSessionStore(1, (0, 3)))
        assert deeds == [(0, ForgetSession(1)), (3, ForgetSession(1))]
        assert w.store.get(1, 4) is None
        assert await w.next_call() == [Tick()], "no fetch of a closed session arrives"
        assert w.store.get(1, 5) is None

    run(scenario, tmp_path)


@pytest.mark.parametrize("reason", [None, "no executor lives here"])
def test_the_machine_ends_the_worker(tmp_path: Path, reason: str | None) -> None:
    failed: FromWorker = Failed(1, 2, 0, Failure(cause=Cause.TASK, message="no"))

    async def scenario(w: World) -> None:
        complaint = [Complain(reason)] if reason else []
        assert w.do(KillExecutor(1), Tell(failed), *complaint, Exit()) == [("kill", 1), failed, ("exit", reason)]

    run(scenario, tmp_path)


def test_the_death_of_the_forkserver_ends_the_worker(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        w.shell.forkserver_died()
        [*_, (what, reason)] = w.deeds
        assert what == "exit"
        assert "forkserver" in reason

    run(scenario, tmp_path)


def test_a_spoilt_object_is_reported_as_lost_after_the_failure_of_its_task(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        w.store.path(1, 0).write_bytes(b"large")
        w.store.adopt_file(1, 0)
        w.do(RunBatch(0, 1, (), (QueuedRun(7, 0, 0, 1, memoryview(b""), (0,)),)))
        w.store.path(1, 0).unlink()
        failure = Failure(cause=Cause.TASK, message="it changed its input")
        w.deeds.clear()
        w.machine.effects = [Tell(Failed(1, 7, 0, failure))]
        w.shell.executor_reported(0, Report(1, (), (TaskFailed(7, 0, 1, failure),)))
        await w.next_call()
        await asyncio.sleep(0)
        assert w.deeds == [Failed(1, 7, 0, failure), Unavailable(1, pack("I", [0]), pack("I", [4]), EMPTY, EMPTY)]

    run(scenario, tmp_path)


def test_whoever_asks_for_a_spoilt_object_gets_no_bytes_and_the_server_hears_of_it(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        for obj in (0, 1):
            w.store.path(1, obj).write_bytes(b"large")
            w.store.adopt_file(1, obj)
        w.store.path(1, 0).unlink()
        w.store.path(1, 0).write_bytes(b"other")
        os.utime(w.store.path(1, 0), ns=(7, 7))
        w.deeds.clear()
        assert w.shell.source(1, 1) == Stored(5, None, w.store.path(1, 1))
        assert w.shell.source(1, 0) == Stored(5, None, w.store.path(1, 0))
        assert not w.store.path(1, 0).exists()
        assert w.shell.source(1, 2) is None
        await asyncio.sleep(0)
        assert w.deeds == [Unavailable(1, pack("I", [0]), pack("I", [4]), EMPTY, EMPTY)]

    run(scenario, tmp_path)
