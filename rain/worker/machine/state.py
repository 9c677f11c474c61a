"""What a worker knows: sessions with their tasks and objects, queues of ready tasks, executors with their batches.

Plain data. Neighbouring tasks that are alike and read nothing are one record from the server's message to the report
of their results, and so are single ones.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto

from rain.core import resources
from rain.core.note import TaskProgress
from rain.core.resources import UNIT, Offer, Request
from rain.core.spec import TaskSpec
from rain.protocol.columns import EMPTY, Column
from rain.worker.machine.effects import QueuedRun
from rain.worker.machine.gpus import GpuPool
from rain.worker.machine.numbers import NumberMap, NumberSet

#: Beyond one executor per cpu, fractional requests may have this many per cpu.
MAX_EXECUTORS_PER_CPU = 4


@dataclass(slots=True, eq=False)
class RequestClass:
    """Tasks that ask for the same resources."""

    request: Request
    #: How many such tasks the whole worker can run at once; at least 1.
    limit: int
    #: Executors that hold the request now.
    n_running: int = 0


@dataclass(slots=True, eq=False)
class Lane:
    """The ready tasks of one session and one request class: what one batch may be made of."""

    session: int
    request_class: RequestClass
    #: A heap of (order, run): the server's order is kept, also by tasks that come back.
    heap: list[tuple[int, HeldRun]] = field(default_factory=list)
    #: Tasks of these runs.
    n_ready: int = 0
    #: Since when the head waits for resources; None: it does not.
    blocked_since: float | None = None


@dataclass(slots=True, eq=False)
class Spec:
    """A task spec of a session, and how long its tasks took here."""

    number: int
    spec: TaskSpec
    lane: Lane
    n_outputs: int
    #: Running mean of the work of one task in microseconds; None: none has ended yet.
    mean_us: float | None = None
    #: Whether its tasks may be in one batch with what makes their inputs.
    may_follow: bool = True


@dataclass(slots=True, eq=False)
class HeldRun:
    """Attempts that the server gave to this worker, until they are reported, cancelled or given back.

    They are neighbours: tasks, outputs and orders are numbered on from the first. They wait (`missing` > 0), are ready
    (in the heap of `spec.lane`), or are in a batch of `executor`, together with the tasks that make what they miss.
    More than one have no inputs, and no user's JSON.
    """

    task: int
    count: int
    attempt: int
    spec: Spec
    first_output: int
    #: Ascending in the order in which the server gave them, over all sessions.
    order: int
    #: Opaque; slices of the message that brought them. Sizes in bytes, a view of u32 per task where there are several.
    args: Column = EMPTY
    args_size: Column = EMPTY
    #: Objects, repeats possible, in the order in which the task reads them.
    inputs: tuple[int, ...] = ()
    user: bytes = b""
    #: Distinct inputs that are not in the store yet.
    missing: int = 0
    executor: Executor | None = None

    @property
    def end(self) -> int:
        """The task after the last one."""
        return self.task + self.count

    @property
    def n_outputs(self) -> int:
        """Objects that all of them make, from `first_output` on."""
        return self.count * self.spec.n_outputs

    def cut(self, count: int) -> HeldRun:
        """Takes the first `count` tasks off, fewer than all, as a run of their own."""
        head = HeldRun(
            self.task,
            count,
            self.attempt,
            self.spec,
            self.first_output,
            self.order,
            self.args,
            self.args_size[:count],
            executor=self.executor,
        )
        self.skip(count)
        head.args = head.args[: len(head.args) - len(self.args)]
        return head

    def skip(self, count: int) -> None:
        """Leaves the first `count` tasks out, fewer than all."""
        self.task += count
        self.count -= count
        self.first_output += count * self.spec.n_outputs
        self.order += count
        if self.args:
            self.args = self.args[sum(self.args_size[:count]) :]
        self.args_size = self.args_size[count:]

    def queued(self, inner: tuple[int, ...] = ()) -> QueuedRun:
        """What an executor must know of them; `inner`: the inputs that earlier tasks of their batch make."""
        return QueuedRun(
            self.task,
            self.attempt,
            self.spec.number,
            self.first_output,
            self.args,
            self.inputs,
            self.user,
            self.count,
            self.args_size.cast("B") if self.count > 1 else EMPTY,
            self.spec.n_outputs,
            inner,
        )


@dataclass(slots=True, eq=False)
class HeldSession:
    """What the worker has of one session."""

    number: int
    specs: dict[int, Spec] = field(default_factory=dict)
    tasks: NumberMap[HeldRun] = field(default_factory=NumberMap)
    lanes: dict[Request, Lane] = field(default_factory=dict)
    #: Objects in the store.
    present: NumberSet = field(default_factory=NumberSet)
    #: Objects ordered by `Fetch` and not answered yet: their holders. Rarely, such an object is present as well.
    fetching: dict[int, int] = field(default_factory=dict)
    #: Outputs of the tasks above.
    making: NumberSet = field(default_factory=NumberSet)
    #: Inputs that are not present: the tasks that wait for them, each once.
    waiters: dict[int, list[HeldRun]] = field(default_factory=dict)
    #: Inputs of the tasks above: how many tasks read them.
    needed: dict[int, int] = field(default_factory=dict)
    #: Objects that the server dropped while they were on their way or still needed; they go when that is over.
    doomed: set[int] = field(default_factory=set)
    #: Objects that are not present, but may have a file: it may be that of the attempt that makes them, so it stays
    #: until that one has ended.
    leftovers: set[int] = field(default_factory=set)


class Stage(Enum):
    """The life of an executor."""

    STARTING = auto()
    READY = auto()
    #: `KillExecutor` was ordered; what it holds is free again when it has ended.
    KILLED = auto()


@dataclass(slots=True, eq=False)
class Batch:
    """Tasks that an executor was given in one `RunBatch`."""

    session: int
    #: What is not reported yet, in the order in which it runs. Cancelled tasks stay until the executor has ended.
    runs: list[HeldRun]
    #: All its tasks are known to be short, so another batch may wait behind it.
    is_short: bool
    #: When its only task has run too long; None: no limit.
    deadline: float | None = None

    def replace(self, run: HeldRun, *parts: HeldRun) -> None:
        """Puts the parts of a run, which may be one of them, in its place; nothing where it is not here."""
        for index, each in enumerate(self.runs):
            if each is run:
                self.runs[index : index + 1] = sorted(parts, key=lambda part: part.order)
                return


@dataclass(slots=True, eq=False)
class Executor:
    """A process that runs tasks one after the other."""

    number: int
    stage: Stage = Stage.STARTING
    #: The one that runs and at most one that waits behind it; both of the same request class.
    batches: deque[Batch] = field(default_factory=deque)
    #: The class whose request it holds, for one task; None exactly when it has no batch.
    holds: RequestClass | None = None
    #: The gpus that it holds with that, and the first ones that it ever had: its process may never leave those.
    gpus: tuple[int, ...] = ()
    bound_gpus: tuple[int, ...] = ()
    #: Specs that it was told, by session.
    known: dict[int, set[int]] = field(default_factory=dict)
    #: Tasks reported since its start.
    n_reported: int = 0
    #: It is killed because its task ran too long.
    timed_out: bool = False


@dataclass(slots=True, eq=False)
class StartTrouble:
    """Executors that ended before they began any task, in a row."""

    n_deaths: int = 0
    #: When the row became long enough to hold back; None: it is not.
    since: float | None = None
    #: Not before this time is another one started.
    retry_at: float = 0.0


@dataclass(slots=True, eq=False)
class State:
    """Everything."""

    #: The worker's own number, as the server gave it.
    number: int
    offer: Offer
    #: What no batch holds, and where that is of the gpus.
    free: Offer
    gpus: GpuPool
    #: When the server last said something.
    heard_at: float = 0.0
    exited: bool = False
    sessions: dict[int, HeldSession] = field(default_factory=dict)
    classes: dict[Request, RequestClass] = field(default_factory=dict)
    #: Lanes with ready tasks.
    lanes: dict[Lane, None] = field(default_factory=dict)
    executors: dict[int, Executor] = field(default_factory=dict)
    #: Ready executors without a batch; the last used one comes first, its caches are warm.
    idle: dict[int, Executor] = field(default_factory=dict)
    n_starting: int = 0
    next_executor: int = 0
    next_order: int = 0
    trouble: StartTrouble = field(default_factory=StartTrouble)
    #: By session and task: the attempt, and what it said last, where the server was not told yet.
    progress: dict[tuple[int, int], tuple[int, TaskProgress]] = field(default_factory=dict)
    progress_told_at: float = float("-inf")

    @property
    def n_base_executors(self) -> int:
        """How many executors stand ready whatever is to do: one per cpu."""
        return max(1, self.offer.cpus // UNIT)

    @property
    def max_executors(self) -> int:
        """How many there may be where tasks ask for less than a cpu."""
        return self.n_base_executors * MAX_EXECUTORS_PER_CPU

    def request_class(self, request: Request) -> RequestClass:
        """The class of this request, which must fit into the offer."""
        found = self.classes.get(request)
        if found is None:
            found = self.classes[request] = RequestClass(request, resources.slots(self.offer, request))
        return found

    def forget_unused_classes(self) -> None:
        """Keeps the classes of open sessions, and those that executors hold."""
        used = {lane.request_class for session in self.sessions.values() for lane in session.lanes.values()}
        used |= {executor.holds for executor in self.executors.values() if executor.holds is not None}
        self.classes = {request: each for request, each in self.classes.items() if each in used}
