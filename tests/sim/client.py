"""A model of a client: opens sessions, submits graphs, waits, fetches, and compares what it gets with the model."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import msgspec

from rain.core.errors import InvariantViolation
from rain.core.ids import SERVER, object_name, session_name, task_name
from rain.core.liveness import HEARTBEAT_S
from rain.protocol.client import (
    MAX_INLINE_CONSTANT,
    CancelTasks,
    ClientAlive,
    CloseSession,
    FromClient,
    Locate,
    Located,
    OpenSession,
    RequestFailed,
    SessionOpened,
    Submit,
    ToClient,
    Unkeep,
    Unwait,
    Upload,
    Wait,
    WaitDone,
)
from rain.protocol.columns import pack, unpack
from rain.protocol.queries import QueryObjects, QueryServer, QueryTasks, ServerInfo, TaskNews
from rain.server.machine.events import ClientJoined, ClientLeft, ClientSaid
from tests.sim.timeline import Link
from tests.sim.workload import Blob, Graph, PlannedSubmit

if TYPE_CHECKING:
    from tests.sim.world import World

T = TypeVar("T")

#: A step of a session's story: a pause in seconds, or a request (made from its number) whose answer comes back.
Step = float | Callable[[int], FromClient]
Story = Generator[Step, ToClient, T]


class ModelClient:
    """One client with its sessions."""

    def __init__(self, world: World, number: int, graphs: Iterable[Graph]) -> None:
        self.world = world
        self.number = number
        self.name = f"c{number}"
        self.is_there = True
        self._requests = count(1)
        self._asked: dict[int, Story[None]] = {}
        #: Requests whose answers are ignored.
        self._forgotten: set[int] = set()
        delay_s = world.link_delay_s()
        self.up: Link[FromClient] = Link(
            world.timeline,
            world.random,
            delay_s,
            lambda message: world.server.happens(ClientSaid(number, message)),
        )
        self.down: Link[ToClient] = Link(world.timeline, world.random, delay_s, self._receive)
        world.server.happens(ClientJoined(number))
        self.sessions = [ModelSession(self, graph) for graph in graphs]
        for session in self.sessions:
            self._go_on(session.story(), None)
        self._stay_alive()

    @property
    def is_done(self) -> bool:
        """Nothing more to come before the cluster is closed."""
        return not self.is_there or all(session.is_done for session in self.sessions)

    def leave(self) -> None:
        """The connection ends without a word."""
        if not self.is_there:
            return
        self.world.log(self.name, "leaves")
        self.is_there = False
        self.up.cut()
        self.down.cut()
        self.world.timeline.after(
            self.world.random.uniform(0.0, 2.0), lambda: self.world.server.happens(ClientLeft(self.number))
        )

    def ask_and_forget(self, make: Callable[[int], FromClient]) -> int:
        """Sends a request whose answer nobody waits for; its number."""
        request = next(self._requests)
        self._forgotten.add(request)
        self.up.send(make(request))
        return request

    def _stay_alive(self) -> None:
        if self.is_there:
            self.up.send(ClientAlive())
            self.world.timeline.after(HEARTBEAT_S, self._stay_alive)

    def _go_on(self, story: Story[None], answer: ToClient | None) -> None:
        if not self.is_there:
            return
        try:
            step = next(story) if answer is None else story.send(answer)
        except StopIteration:
            return
        if isinstance(step, float):
            self.world.timeline.after(step, lambda: self._go_on(story, None))
        else:
            request = next(self._requests)
            self._asked[request] = story
            self.up.send(step(request))

    def _receive(self, message: ToClient) -> None:
        self.world.log(self.name, message)
        request = getattr(message, "request", None)
        if request in self._asked:
            self._go_on(self._asked.pop(request), message)
        elif request is not None and request not in self._forgotten:
            raise InvariantViolation(f"{self.name} got an answer to request {request}, which is not open")


class ModelSession:
    """What a client does with one graph."""

    def __init__(self, client: ModelClient, graph: Graph) -> None:
        self._client = client
        self._world = client.world
        self._graph = graph
        self._number = 0
        self._unkept: set[int] = set()
        self._has_cancelled = False
        self.is_done = False

    def story(self) -> Story[None]:
        """From opening to closing."""
        world, random, faults = self._world, self._world.random, self._world.faults
        yield random.uniform(0.0, 2.0)
        ttl_s = random.choice((None, 5.0))
        opened = yield lambda request: OpenSession(request, None, self._graph.fail_fast, ttl_s)
        assert isinstance(opened, SessionOpened)
        self._number = opened.session
        world.graphs[self._number] = self._graph
        for submit in self._graph.submits:
            self._submit(submit)
            yield random.choice((0.0, 0.1, 3.0))
            if random.random() < 0.3:
                yield from self._wait_for_some(submit)
            if random.random() < 0.3:
                yield from self._give_up_waiting()
            if faults.unkeeps:
                self._unkeep(submit)
            if faults.cancels and random.random() < 0.5:
                yield from self._cancel()
        if faults.early_closes and random.random() < 0.5:
            yield random.choice((0.0, 0.1, 1.0))
            self.is_done = True
            yield lambda request: CloseSession(request, self._number)
            return
        yield from self._wait()
        yield from self._fetch()
        while not world.healed:
            yield 0.5
        yield from self._wait()
        yield from self._fetch()
        yield from self._check_states()
        self.is_done = True
        while not world.closing:
            yield 0.5
        if random.random() < 0.3:
            self._client.leave()
        yield lambda request: CloseSession(request, self._number)

    # ------------------------------------------------------------ what it asks for

    def _submit(self, submit: PlannedSubmit) -> None:
        graph, session = self._graph, self._number
        blobs = [graph.constants[obj] for obj in submit.constants]
        inline = [blob.size <= MAX_INLINE_CONSTANT for blob in blobs]
        for obj, blob, is_inline in zip(submit.constants, blobs, inline, strict=True):
            if not is_inline:
                self._client.up.send(Upload(session, obj, 0, blob.size))
        tasks = submit.tasks
        is_first = submit is graph.submits[0]
        self._client.up.send(
            Submit(
                session=session,
                first_spec=0 if is_first else len(graph.specs),
                specs=tuple(graph.specs) if is_first else (),
                first_task=submit.first_task,
                n_tasks=len(tasks),
                spec=pack("I", [task.spec for task in tasks]),
                first_output=pack("I", [task.first_output for task in tasks]),
                n_inputs=pack("I", [len(task.inputs) for task in tasks]),
                inputs=pack("I", [obj for task in tasks for obj in task.inputs]),
                args_size=pack("I", [len(task.args) for task in tasks]),
                args=memoryview(b"".join(task.args for task in tasks)),
                first_object=submit.first_object,
                n_objects=submit.n_objects,
                kept=pack("I", submit.kept),
                constants=pack("I", submit.constants),
                constant_size=pack("Q", [blob.size for blob in blobs]),
                constant_inline=pack("B", inline),
                constant_data=memoryview(b"".join(blob.data for blob in blobs if blob.size <= MAX_INLINE_CONSTANT)),
                constant_type=pack("H", [0] * len(blobs)),
                content_types=(None,),
            )
        )

    def _wait_for_some(self, submit: PlannedSubmit) -> Story[None]:
        numbers = [task.number for task in submit.tasks]
        chosen = self._world.random.sample(numbers, min(3, len(numbers)))
        some = self._world.random.random() < 0.5
        answer = yield lambda request: Wait(request, self._number, pack("I", chosen), some=some)
        self._check_answer(answer, WaitDone)
        if isinstance(answer, WaitDone) and answer.located is not None:
            along = unpack("I", answer.objects, "objects")
            if not set(along) <= {obj for task in chosen for obj in self._graph.tasks[task].outputs}:
                raise InvariantViolation(f"{session_name(self._number)}: results of other tasks came along")
            if self._get(list(along), answer.located):
                raise InvariantViolation(f"{session_name(self._number)}: results came along without their bytes")

    def _give_up_waiting(self) -> Story[None]:
        """A wait that is taken back: no answer follows, unless it was under way."""
        wait = self._client.ask_and_forget(lambda request: Wait(request, self._number, all_tasks=True))
        yield self._world.random.choice((0.0, 0.05))
        self._client.up.send(Unwait(wait))
        info = yield QueryServer
        assert isinstance(info, ServerInfo)
        if self._number not in {session.session for session in info.sessions}:
            raise InvariantViolation(f"{session_name(self._number)} is open, but not shown")

    def _wait(self) -> Story[None]:
        answer = yield lambda request: Wait(request, self._number, all_tasks=True)
        self._check_answer(answer, WaitDone)

    def _unkeep(self, submit: PlannedSubmit) -> None:
        """Objects that no later submit reads."""
        read = {
            obj
            for later in self._graph.submits[self._graph.submits.index(submit) + 1 :]
            for task in later.tasks
            for obj in task.inputs
        }
        free = [obj for obj in submit.kept if obj not in read]
        chosen = self._world.random.sample(free, len(free) // 2)
        self._unkept.update(chosen)
        self._client.up.send(Unkeep(self._number, pack("I", chosen)))

    def _cancel(self) -> Story[None]:
        submitted = range(len(self._graph.tasks))
        chosen = self._world.random.sample(submitted, min(2, len(submitted)))
        self._has_cancelled = True
        yield lambda request: CancelTasks(request, self._number, pack("I", chosen))

    def _fetch(self) -> Story[None]:
        graph = self._graph
        if self._may_fail() and (graph.fail_fast or self._has_cancelled):
            return
        lost = graph.failed_tasks() | graph.cancelled_tasks()
        gone = {obj for task in lost for obj in graph.tasks[task].outputs}
        wanted = [obj for submit in graph.submits for obj in submit.kept if obj not in gone | self._unkept]
        while wanted:
            asked = pack("I", wanted)
            answer = yield lambda request, asked=asked: Locate(request, self._number, asked)
            if not isinstance(answer, Located):
                raise InvariantViolation(f"{session_name(self._number)}: expected locations, found {answer}")
            wanted = self._get(wanted, answer)
            if wanted:
                yield 1.0

    def _get(self, wanted: list[int], located: Located) -> list[int]:
        """Fetches the objects from where they are said to be; returns those that could not be had."""
        missed = []
        position = 0
        sizes = unpack("Q", located.size, "size", len(wanted))
        holders = unpack("I", located.holder, "holder", len(wanted))
        for obj, holder, size, inline in zip(wanted, holders, sizes, located.inline, strict=True):
            blob: Blob | None
            if inline:
                blob = Blob.of(located.data[position : position + size])
                position += size
            elif holder == SERVER:
                blob = self._world.server.stash[(self._number, obj)]
            else:
                worker = self._world.workers[holder]
                blob = None if self._world.fetch_fails() else worker.store.get((self._number, obj))
            if blob is None:
                missed.append(obj)
            elif blob != self._graph.blobs[obj] or size != blob.size:
                raise InvariantViolation(f"{object_name(self._number, obj)} is wrong: {blob}")
        return missed

    # ------------------------------------------------------------ what it expects

    def _may_fail(self) -> bool:
        return self._has_cancelled or bool(self._graph.failed_tasks())

    def _check_answer(self, answer: ToClient, expected: type[msgspec.Struct]) -> None:
        if isinstance(answer, expected):
            return
        if not (isinstance(answer, RequestFailed) and self._may_fail()):
            raise InvariantViolation(f"{session_name(self._number)}: expected {expected.__name__}, found {answer}")
        if answer.task is not None and not self._has_cancelled and answer.task not in self._graph.failed_tasks():
            raise InvariantViolation(f"{task_name(self._number, answer.task)} is blamed, which never fails")

    def _check_states(self) -> Story[None]:
        graph = self._graph
        numbers = range(len(graph.tasks))
        if self._may_fail() and graph.fail_fast:
            submitted = graph.submits[0].first_task + len(graph.submits[0].tasks)
            numbers = range(submitted)
        answer = yield lambda request: QueryTasks(request, self._number, pack("I", numbers))
        assert isinstance(answer, TaskNews)
        while not {info.state for info in answer.tasks} <= {"finished", "failed", "cancelled"}:
            # Something was lost meanwhile, and is made again.
            yield 1.0
            answer = yield lambda request: QueryTasks(request, self._number, pack("I", numbers))
            assert isinstance(answer, TaskNews)
        failed, cancelled = graph.failed_tasks(), graph.cancelled_tasks()
        for number, info in zip(numbers, answer.tasks, strict=True):
            expected = {"finished"}
            if self._has_cancelled or (graph.fail_fast and failed):
                expected = {"finished", "failed", "cancelled"}
            elif number in failed:
                expected = {"failed"}
            elif number in cancelled:
                expected = {"cancelled"}
            if info.state not in expected:
                raise InvariantViolation(f"{task_name(self._number, number)} is {info.state}, expected {expected}")
        n_objects = min(len(graph.blobs), graph.submits[0].n_objects)
        yield lambda request: QueryObjects(request, self._number, pack("I", range(n_objects)))
