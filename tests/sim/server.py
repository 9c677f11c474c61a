"""A model of the server's shell around the real machine: a stash, and the connections."""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import TYPE_CHECKING

import msgspec

from rain.core.errors import InvariantViolation
from rain.core.ids import object_name
from rain.core.liveness import Tick
from rain.protocol.client import ClientAlive, ServerAlive, Submit, Upload
from rain.protocol.columns import column, unpack
from rain.protocol.worker import Done, Failed, FromWorker, Retracted, ServerPing, Unavailable, WorkerPong
from rain.server.machine import invariants
from rain.server.machine.effects import (
    CloseStash,
    DropClient,
    DropStashed,
    DropWorker,
    Effect,
    ForgetTasks,
    SendCompute,
    SendLocated,
    SendWaitDone,
    StashResults,
    StashStretch,
    TellClient,
    TellWorker,
    Terminate,
)
from rain.server.machine.events import ClientSaid, Event, WorkerJoined, WorkerLeft, WorkerSaid
from rain.server.machine.machine import ServerMachine
from tests.sim.worker import ModelWorker
from tests.sim.workload import Blob

if TYPE_CHECKING:
    from tests.sim.world import World

TICK_S = 1.0


def _is_heartbeat(happened: Event | Effect) -> bool:
    """Nothing but a sign of life, or a look at the clock."""
    message = getattr(happened, "message", happened)
    return isinstance(message, Tick | WorkerPong | ClientAlive | ServerAlive | ServerPing)


class ModelServer:
    """The server of the cluster."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.machine = ServerMachine(seed, version="sim", min_stretch=2 + 14 * (seed % 2))
        self.stash: dict[tuple[int, int], Blob] = {}
        self.args: dict[tuple[int, int], bytes] = {}
        self._inbox: list[Event] = []
        self._listens_to: set[int] = set()
        self._is_woken = False
        self._tick()

    # ------------------------------------------------------------ what happens to it

    def happens(self, event: Event) -> None:
        """An event for the machine's next turn."""
        self._inbox.append(event)
        if not self._is_woken:
            self._is_woken = True
            self.world.timeline.after(self.world.random.choice((0.0, 0.0, 1e-4, 1e-3)), self._wake)

    def worker_joins(self, worker: ModelWorker) -> None:
        """It said hello and was welcomed."""
        self._listens_to.add(worker.number)
        self.happens(WorkerJoined(worker.number, "host", 1, worker.offer, "host", 1, "key"))

    def worker_said(self, worker: ModelWorker, message: FromWorker) -> None:
        """A message, and now and then the same once more, late."""
        if worker.number not in self._listens_to:
            return
        self.happens(WorkerSaid(worker.number, message))
        world = self.world
        is_news = isinstance(message, Done | Failed | Unavailable | Retracted)
        if is_news and world.random.random() < world.faults.repeated_news:
            world.timeline.after(
                world.random.uniform(0.0, 2.0), lambda: self._say_again(WorkerSaid(worker.number, message))
            )

    def worker_left(self, worker: ModelWorker) -> None:
        """Its connection ended."""
        if worker.number in self._listens_to:
            self._listens_to.discard(worker.number)
            self.happens(WorkerLeft(worker.number))

    def _say_again(self, said: WorkerSaid) -> None:
        if said.worker in self._listens_to:
            self.happens(said)

    # ------------------------------------------------------------ the machine's turns

    def _tick(self) -> None:
        self.happens(Tick())
        self.world.timeline.after(TICK_S, self._tick)

    def _wake(self) -> None:
        self._is_woken = False
        events, self._inbox = self._inbox, []
        for event in events:
            if isinstance(event, ClientSaid):
                self._take_in(event)
            if not isinstance(event, Tick):
                self.world.log("server", event)
        effects = self.machine.handle(events, self.world.timeline.now)
        if not (all(map(_is_heartbeat, events)) and all(map(_is_heartbeat, effects))):
            invariants.check(self.machine.state)
        for effect in effects:
            self.world.log("server", effect)
            self._carry_out(effect)

    def _take_in(self, said: ClientSaid) -> None:
        message = said.message
        if isinstance(message, Upload):
            self.stash[(message.session, message.object)] = self.world.graphs[message.session].constants[message.object]
        elif isinstance(message, Submit):
            sizes = unpack("I", message.args_size, "args_size", message.n_tasks)
            for task, start, size in zip(
                range(message.first_task, message.first_task + message.n_tasks),
                accumulate(sizes, initial=0),
                sizes,
                strict=False,
            ):
                self.args[(message.session, task)] = bytes(message.args[start : start + size])
            position = 0
            for obj, size, inline in zip(
                unpack("I", message.constants, "constants"),
                unpack("Q", message.constant_size, "size"),
                message.constant_inline,
                strict=True,
            ):
                if inline:
                    data = message.constant_data[position : position + size]
                    self.stash[(message.session, obj)] = Blob.of(data)
                    position += size

    # ------------------------------------------------------------ what the machine orders

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case SendCompute():
                self._send_compute(effect)
            case TellWorker():
                self.world.workers[effect.worker].down.send(effect.message)
            case TellClient():
                self.world.tell_client(effect.client, effect.message)
            case SendLocated():
                self._send_located(effect)
            case SendWaitDone():
                self._send_wait_done(effect)
            case StashResults() | StashStretch() | DropStashed() | ForgetTasks():
                self._change_stash(effect)
            case CloseStash():
                self._close(self.stash, effect.session)
                self._close(self.args, effect.session)
            case DropWorker():
                self.world.log("server", f"gives w{effect.worker} up: {effect.reason}")
                self._listens_to.discard(effect.worker)
                self.world.workers[effect.worker].lost_connection()
            case DropClient() | Terminate():
                if not self.world.closing:
                    raise InvariantViolation(f"nobody gave a reason for {effect}")

    def _change_stash(self, effect: StashResults | StashStretch | DropStashed | ForgetTasks) -> None:
        match effect:
            case StashResults():
                for obj, start, size in zip(effect.objects, effect.start, effect.size, strict=True):
                    self.stash[(effect.session, obj)] = Blob.of(effect.data[start : start + size])
            case StashStretch():
                stop = effect.first + len(effect.size)
                for obj, start, size in zip(
                    range(effect.first, stop), accumulate(effect.size, initial=0), effect.size, strict=False
                ):
                    self.stash[(effect.session, obj)] = Blob.of(effect.data[start : start + size])
            case DropStashed():
                for obj in effect.objects:
                    if self.stash.pop((effect.session, obj), None) is None:
                        raise InvariantViolation(f"the stash has no {object_name(effect.session, obj)} to drop")
            case ForgetTasks():
                for task in effect.tasks:
                    del self.args[(effect.session, task)]

    def _send_compute(self, effect: SendCompute) -> None:
        compute = effect.compute
        session = compute.session
        args = [self.args[(session, task)] for task in unpack("I", compute.task, "task")]
        complete = msgspec.structs.replace(
            compute,
            args_size=column(array("I", [len(each) for each in args])),
            args=memoryview(b"".join(args)),
            source_data=self._inlined(session, compute.source, compute.source_size, compute.source_inline),
        )
        self.world.workers[effect.worker].down.send(complete)

    def _send_located(self, effect: SendLocated) -> None:
        located = effect.located
        data = self._inlined(effect.session, effect.objects, located.size, located.inline)
        self.world.tell_client(effect.client, msgspec.structs.replace(located, data=data))

    def _send_wait_done(self, effect: SendWaitDone) -> None:
        done, located = effect.done, effect.done.located
        assert located is not None
        data = self._inlined(effect.session, done.objects, located.size, located.inline)
        complete = msgspec.structs.replace(done, located=msgspec.structs.replace(located, data=data))
        self.world.tell_client(effect.client, complete)

    def _inlined(self, session: int, objects: memoryview, sizes: memoryview, inline: memoryview) -> memoryview:
        data = bytearray()
        for obj, size, is_inline in zip(unpack("I", objects, "o"), unpack("Q", sizes, "s"), inline, strict=True):
            if is_inline:
                blob = self.stash.get((session, obj))
                if blob is None or blob.size != size:
                    raise InvariantViolation(f"the stash lacks {object_name(session, obj)}: expected {size} bytes")
                data += blob.data
        return memoryview(bytes(data))

    def _close(self, table: dict[tuple[int, int], Blob] | dict[tuple[int, int], bytes], session: int) -> None:
        for key in [key for key in table if key[0] == session]:
            del table[key]
