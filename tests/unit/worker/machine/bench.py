"""A worker's machine on a bench: a story in the words of the field, in which nothing else may have happened."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from rain.core.failure import Cause, Failure
from rain.core.liveness import Tick
from rain.core.resources import UNIT, Offer, Request
from rain.core.spec import OutputSpec, TaskSpec
from rain.protocol.columns import pack, unpack
from rain.protocol.executor import Produced, RangeDone, TaskDone, TaskFailed
from rain.protocol.transfer import Peer
from rain.protocol.worker import (
    Cancel,
    Compute,
    Drop,
    EndSession,
    Failed,
    Fetched,
    FromServer,
    NumberedSpec,
    ServerPing,
    Unavailable,
    WorkerPong,
)
from rain.worker.machine import invariants
from rain.worker.machine.effects import (
    CloseSessionStore,
    Discard,
    Effect,
    Fetch,
    KillExecutor,
    ReportDone,
    RunBatch,
    StartExecutor,
    Tell,
)
from rain.worker.machine.events import (
    Event,
    ExecutorEnded,
    ExecutorReady,
    ExecutorReported,
    InputsArrived,
    InputsUnavailable,
    ServerSaid,
)
from rain.worker.machine.machine import WorkerMachine

E = TypeVar("E")

#: The worker on the bench.
NUMBER = 7


def expect(found: object, wanted: object) -> None:
    """Like `assert found == wanted`, with both in the message."""
    assert found == wanted, f"expected {wanted}, found {found}"


def tasks_of(batch: RunBatch) -> list[int]:
    """The tasks that an executor was given, in order."""
    return [task for run in batch.runs for task in range(run.task, run.task + run.count)]


class Given(msgspec.Struct):
    """A task as the bench's server gives it; its only output has the task's number unless the spec says more."""

    task: int
    inputs: tuple[int, ...] = ()
    spec: int = 0
    attempt: int = 1
    first_output: int | None = None
    args: bytes = b""


class Source(msgspec.Struct):
    """An object and where it is; `data` stands for bytes that come inline."""

    object: int
    holder: int = 3
    size: int = 100
    inline: bool = False


def spec(cpus: float = 1, n_outputs: int = 1, timeout_s: float | None = None, gpus: int = 0) -> TaskSpec:
    """A Python task."""
    return TaskSpec(
        kind="python",
        outputs=tuple(OutputSpec(label=str(number)) for number in range(n_outputs)),
        request=Request(cpus=int(cpus * UNIT), gpus=gpus * UNIT),
        timeout_s=timeout_s,
    )


class Bench:
    """Plays server, executors and transfers; keeps what the machine ordered until the test asks for it."""

    def __init__(self, cpus: float = 2, gpus: int = 0, *, ready: bool = True) -> None:
        self.machine = WorkerMachine(Offer(cpus=int(cpus * UNIT), gpus=gpus * UNIT), number=NUMBER)
        self.now = 1000.0
        self._specs_sent: dict[int, int] = {}
        self._effects: list[Effect] = self.machine.start(self.now)
        if ready:
            self.executors_start(*range(self.machine.n_wanted))

    # ------------------------------------------------------------ what the world does

    def happens(self, *events: Event) -> None:
        """Events in one call; then the state must be in order."""
        self._effects += self.machine.handle(events, self.now)
        invariants.check(self.machine.state)

    def says(self, *messages: FromServer) -> None:
        self.happens(*[ServerSaid(message) for message in messages])

    def computes(
        self,
        *tasks: Given | int,
        session: int = 1,
        specs: Sequence[TaskSpec] = (),
        sources: Iterable[Source] = (),
        peers: tuple[Peer, ...] = (),
    ) -> None:
        self.says(self.compute(*tasks, session=session, specs=specs, sources=sources, peers=peers))

    def compute(
        self,
        *tasks: Given | int,
        session: int = 1,
        specs: Sequence[TaskSpec] = (),
        sources: Iterable[Source] = (),
        peers: tuple[Peer, ...] = (),
    ) -> Compute:
        """The message; specs are numbered on, and a session's first message brings a plain one where none is named."""
        given = [task if isinstance(task, Given) else Given(task) for task in tasks]
        sources = list(sources)
        sent = self._specs_sent.get(session, 0)
        specs = specs or ((spec(),) if not sent else ())
        self._specs_sent[session] = sent + len(specs)
        return Compute(
            session=session,
            specs=tuple(NumberedSpec(number, each) for number, each in enumerate(specs, sent)),
            task=pack("I", [each.task for each in given]),
            spec=pack("I", [each.spec for each in given]),
            attempt=pack("I", [each.attempt for each in given]),
            first_output=pack("I", [each.task if each.first_output is None else each.first_output for each in given]),
            n_inputs=pack("I", [len(each.inputs) for each in given]),
            inputs=pack("I", [obj for each in given for obj in each.inputs]),
            args_size=pack("I", [len(each.args) for each in given]),
            args=memoryview(b"".join(each.args for each in given)),
            source=pack("I", [each.object for each in sources]),
            source_holder=pack("I", [each.holder for each in sources]),
            source_size=pack("Q", [each.size for each in sources]),
            source_inline=pack("B", [each.inline for each in sources]),
            peers=peers,
        )

    def drops(self, *objects: int, session: int = 1) -> None:
        self.says(Drop(session=session, objects=pack("I", objects)))

    def cancels(self, *tasks: int, attempt: int = 1, session: int = 1) -> None:
        self.says(Cancel(session=session, task=pack("I", tasks), attempt=pack("I", [attempt] * len(tasks))))

    def ends_session(self, session: int = 1) -> None:
        self.says(EndSession(session))

    def arrive(self, *objects: int, session: int = 1, size: int = 100) -> None:
        self.happens(InputsArrived(session, array("I", objects), array("Q", [size] * len(objects))))

    def cannot_be_had(self, *objects: int, holder: int = 3, session: int = 1) -> None:
        self.happens(InputsUnavailable(session, holder, array("I", objects)))

    def executors_start(self, *executors: int) -> None:
        """They were ordered, in this order, and are ready now."""
        for number in executors:
            expect(self.take(StartExecutor), StartExecutor(number))
        self.happens(*[ExecutorReady(number) for number in executors])

    def finishes(self, executor: int, *tasks: int, **facts: int) -> None:
        self.happens(self.finished(executor, *tasks, **facts))

    def finished(
        self,
        executor: int,
        *tasks: int,
        session: int = 1,
        attempt: int = 1,
        size: int = 10,
        n_outputs: int = 1,
        duration_us: int = 5_000_000,
    ) -> ExecutorReported:
        outputs = (Produced(size=size),) * n_outputs
        done = tuple(TaskDone(task, attempt, duration_us, outputs) for task in tasks)
        return ExecutorReported(executor, session, done, ())

    def finishes_range(
        self, executor: int, first: int, count: int, *, attempt: int = 1, size: int = 10, duration_us: int = 10
    ) -> None:
        """Neighbours with an output each are reported together."""
        durations, sizes = pack("I", [duration_us] * count), pack("Q", [size] * count)
        done = RangeDone(first, count, attempt, durations, sizes, memoryview(bytes(size * count)))
        self.happens(ExecutorReported(executor, 1, (), (), (done,)))

    def raises(self, executor: int, task: int, *, session: int = 1) -> None:
        failure = Failure(cause=Cause.TASK, message="ZeroDivisionError: division by zero")
        self.happens(ExecutorReported(executor, session, (), (TaskFailed(task, 1, 10, failure),)))

    def ends(
        self,
        executor: int,
        *,
        n_started: int = 0,
        signal: int | None = None,
        exit_code: int | None = None,
        stderr: str = "",
    ) -> None:
        self.happens(ExecutorEnded(executor, exit_code, signal, n_started, stderr))

    def passes(self, seconds: float, *, server_talks: bool = True) -> None:
        """Time passes, with one tick at its end."""
        self.now += seconds
        if server_talks:
            self.says(ServerPing())
            expect(self.take(Tell), Tell(WorkerPong()))
        self.happens(Tick())

    # ------------------------------------------------------------ what the machine ordered

    @property
    def effects(self) -> list[Effect]:
        """What no one took, in order."""
        return self._effects

    def take(self, kind: type[E]) -> E:
        """The first effect of this kind that no one took."""
        for index, effect in enumerate(self._effects):
            if isinstance(effect, kind):
                del self._effects[index]
                return effect
        raise AssertionError(f"expected {kind.__name__}, found {self._effects}")

    def nothing_else_happened(self) -> None:
        expect(self._effects, [])

    def take_batch(self) -> RunBatch:
        """The next batch, whatever it is."""
        return self.take(RunBatch)

    def runs(self, executor: int, *tasks: int, session: int = 1) -> RunBatch:
        """The executor was given just these tasks."""
        batch = self.take(RunBatch)
        expect((batch.executor, batch.session), (executor, session))
        expect(tasks_of(batch), list(tasks))
        return batch

    def fetches(self, *objects: int, holder: int = 3, session: int = 1) -> None:
        fetch = self.take(Fetch)
        expect((fetch.session, fetch.holder, list(fetch.objects)), (session, holder, list(objects)))
        expect(len(fetch.sizes), len(fetch.objects))

    def discards(self, *objects: int, session: int = 1) -> None:
        expect(self.take(Discard), Discard(session, array("I", objects)))

    def kills(self, executor: int) -> None:
        expect(self.take(KillExecutor), KillExecutor(executor))

    def closes_store(self, *executors: int, session: int = 1) -> None:
        expect(self.take(CloseSessionStore), CloseSessionStore(session, executors))

    def reports(self, *tasks: int, session: int = 1) -> ReportDone:
        report = self.take(ReportDone)
        expect(report.done.session, session)
        expect(list(unpack("I", report.done.task, "task")), list(tasks))
        return report

    def tells_fetched(self, *objects: int, session: int = 1) -> None:
        message = self.take(Tell).message
        assert isinstance(message, Fetched)
        expect((message.session, list(unpack("I", message.objects, "objects"))), (session, list(objects)))

    def tells_failed(self, task: int, *, session: int = 1, attempt: int = 1) -> Failure:
        message = self.take(Tell).message
        assert isinstance(message, Failed)
        expect((message.session, message.task, message.attempt), (session, task, attempt))
        return message.failure

    def gives_back(self, *tasks: int, lost: Sequence[int], holder: int = 3, session: int = 1) -> None:
        message = self.take(Tell).message
        assert isinstance(message, Unavailable)
        expect(message.session, session)
        expect(list(unpack("I", message.task, "task")), list(tasks))
        expect(list(unpack("I", message.attempt, "attempt")), [1] * len(tasks))
        expect(list(unpack("I", message.objects, "objects")), list(lost))
        expect(list(unpack("I", message.holder, "holder")), [holder] * len(lost))
