"""What the server knows: sessions, clients, workers, resource classes. Plain data; who changes it stands elsewhere."""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field

from rain.core.failure import Failure
from rain.core.marked import Marked
from rain.core.resources import Offer, Request
from rain.core.spec import TaskSpec
from rain.protocol.transfer import Peer
from rain.server.machine.attachments import Attachments
from rain.server.machine.groups import Groups
from rain.server.machine.outbox import Orders
from rain.server.machine.ready import ReadyTasks
from rain.server.machine.submit_parts import Part
from rain.server.machine.tables import ObjectTable, TaskTable
from rain.server.machine.watchers import SessionFeed

#: Shorter stretches of neighbouring tasks are not worth a slice of every column.
MIN_STRETCH = 16
#: Failures of a session that are remembered with traceback and pickled exception; later ones with their message only.
MAX_FULL_FAILURES = 1000


@dataclass(slots=True)
class FailedTask:
    """How a task came to be FAILED."""

    task: int
    attempt: int
    worker: int
    failure: Failure


@dataclass(slots=True)
class PendingWait:
    """A client waits for tasks, all or any of them."""

    client: int
    request: int
    #: The tasks in the order of the request; None: all below `n_tasks`.
    tasks: array[int] | None
    n_tasks: int
    #: Any of them will do: then these are the ones that were not reported yet.
    some: Marked | None = None
    #: Another wait may follow for those that are left.
    stays: bool = False
    #: Everything before this position is done.
    cursor: int = 0


@dataclass(slots=True)
class PendingLocate:
    """A client asked where objects are that do not all exist yet."""

    client: int
    request: int
    objects: array[int]
    #: Everything before this position was available when it was looked at.
    cursor: int = 0


@dataclass(slots=True)
class Levels:
    """What the b-levels of a session's tasks were worked out from, see `levels`."""

    #: By number of the spec: the duration that was assumed, in microseconds.
    own_us: list[float] = field(default_factory=list)
    #: Expected of tasks of which nothing is known.
    unknown_us: float = 100_000.0
    #: A sweep is due; where the present one is, -1: there is none.
    is_stale: bool = False
    cursor: int = -1
    #: Reports since durations were compared with those above.
    n_unseen: int = 0


@dataclass(slots=True)
class ServerSession:
    """One graph, growing with each submit."""

    number: int
    client: int
    name: str | None
    fail_fast: bool
    ttl_s: float | None
    tasks: TaskTable = field(default_factory=TaskTable)
    objects: ObjectTable = field(default_factory=ObjectTable)
    ready: ReadyTasks = field(default_factory=ReadyTasks)
    attached: Attachments = field(default_factory=Attachments)
    levels: Levels = field(default_factory=Levels)
    #: Tasks that became READY since the queues were filled last.
    newly_ready: list[int] = field(default_factory=list)
    #: Tasks in a stage before FINISHED.
    unfinished: int = 0
    #: `n_tasks - unfinished` of the last `Progress`.
    reported_done: int = 0
    #: How long there were unfinished tasks, all together; and since when there are, None while there are none.
    busy_s: float = 0.0
    busy_since_s: float | None = None
    #: By number of the spec: the spec, its resource class, how many outputs it has, reports and mean of durations.
    specs: list[TaskSpec] = field(default_factory=list)
    spec_class: list[int] = field(default_factory=list)
    spec_outputs: list[int] = field(default_factory=list)
    spec_reports: list[int] = field(default_factory=list)
    spec_mean_us: list[float] = field(default_factory=list)
    groups: Groups = field(default_factory=Groups)
    #: Bytes of arguments of all tasks.
    args_bytes: int = 0
    #: Content types that were set; number 0 is none.
    content_types: list[str | None] = field(default_factory=lambda: [None])
    type_numbers: dict[str | None, int] = field(default_factory=lambda: {None: 0})
    #: Parts of a submit whose last part did not come yet.
    parts: list[Part] = field(default_factory=list)
    #: Constants that were uploaded, and their sizes.
    uploads: dict[int, int] = field(default_factory=dict)
    #: (worker, task): results of an old attempt lie there, not dropped since that worker was to make them anew.
    ignored_results: set[tuple[int, int]] = field(default_factory=set)
    failed_tasks: dict[int, FailedTask] = field(default_factory=dict)
    #: Tasks that were cancelled for the sake of a failed one, by that one.
    n_followers: dict[int, int] = field(default_factory=dict)
    #: Attempts that failed by the task's fault; of tasks with any.
    failed_attempts: dict[int, int] = field(default_factory=dict)
    #: Of tasks that lacked an input: at which worker, and whose copy it was. Both are still there.
    refusals: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    first_failure: FailedTask | None = None
    #: Why the session failed; None while it has not.
    failed_reason: str | None = None
    #: A task that somebody waits for by number failed or was cancelled.
    awaited_failed: bool = False
    waits: list[PendingWait] = field(default_factory=list)
    #: By request: what was left of waits that stay when they were answered.
    followed: dict[int, Marked] = field(default_factory=dict)
    locates: list[PendingLocate] = field(default_factory=list)
    #: Resource classes of ready tasks that no present worker could ever run, as its client was told.
    unrunnable: tuple[int, ...] = ()
    unrunnable_reason: str = ""
    #: Since when tasks are ready while there is no worker at all; None: that is not so.
    workerless_s: float | None = None
    #: Since when its client is away; None while it is there.
    orphaned_s: float | None = None


@dataclass(slots=True)
class ConnectedClient:
    """A connected client."""

    number: int
    heard_s: float
    told_s: float
    sessions: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Drain:
    """A worker is to leave."""

    #: Who is told when it has left: (client, request).
    waiters: list[tuple[int, int]] = field(default_factory=list)
    #: (session, object): the worker that is to copy it, and when it was told last.
    copies: dict[tuple[int, int], tuple[int, float]] = field(default_factory=dict)


@dataclass(slots=True)
class Worker:
    """A connected worker."""

    number: int
    host: str
    pid: int
    offer: Offer
    peer: Peer
    heard_s: float
    asked_s: float
    #: Its log file, on its host; empty where it writes none.
    log: str = ""
    suspect: bool = False
    #: It may have room that it had not when it was last looked at.
    has_news: bool = True
    drain: Drain | None = None
    #: Per resource class: how many fit at once.
    slots: dict[int, int] = field(default_factory=dict)
    #: Per resource class: tasks ASSIGNED to it; classes without any are not there.
    outstanding: dict[int, int] = field(default_factory=dict)
    #: Per resource class of those: microseconds that they are expected to take, all together.
    work_us: dict[int, float] = field(default_factory=dict)
    #: Not before this time it is asked (again) to give tasks up.
    retract_at_s: float = 0.0
    #: When a task of it ended last, or when it was given the first one after none.
    progress_s: float = 0.0
    #: Large objects that it was told to fetch: (session, object) to bytes and holder; their sum, and since when it has
    #: been busy with them; and the bytes of those that others were told to fetch from it.
    incoming: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    incoming_bytes: int = 0
    outgoing_bytes: int = 0
    incoming_since_s: float = 0.0
    #: Per resource class: how many more than its slots it may be given, doubled with each report.
    depth: dict[int, int] = field(default_factory=dict)
    #: Objects it holds.
    n_objects: int = 0
    #: Per session: numbers of the specs it was told.
    specs_told: dict[int, set[int]] = field(default_factory=dict)
    #: Workers whose data endpoints it was told.
    peers_told: set[int] = field(default_factory=set)
    #: (session, task, attempt) that it has and whose consumers may follow on the same worker.
    frontier: deque[tuple[int, int, int]] = field(default_factory=deque)


@dataclass(slots=True)
class Attention:
    """Which workers scheduling rounds have to look at, see `attention`."""

    #: The queues (session, priority, class) for which no worker had room, all that have tasks; None: that is not so.
    saturated: frozenset[tuple[int, int, int]] | None = None
    #: When all workers are looked at again.
    look_at_all_s: float = 0.0
    #: Per resource class of those queues: how many workers can run such tasks.
    n_capable: dict[int, int] = field(default_factory=dict)


class ResourceClasses:
    """Every distinct request gets a number."""

    __slots__ = ("_numbers", "requests")

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._numbers: dict[Request, int] = {}

    def number(self, request: Request) -> int:
        """The class of a request."""
        number = self._numbers.get(request)
        if number is None:
            number = self._numbers[request] = len(self.requests)
            self.requests.append(request)
        return number


@dataclass(slots=True)
class ServerState:
    """Everything."""

    seed: int
    #: Added to the machine's time, gives seconds since the epoch.
    epoch_offset_s: float
    version: str
    #: Where the server runs.
    host: str = ""
    pid: int = 0
    log: str = ""
    now: float = 0.0
    clients: dict[int, ConnectedClient] = field(default_factory=dict)
    workers: dict[int, Worker] = field(default_factory=dict)
    sessions: dict[int, ServerSession] = field(default_factory=dict)
    last_session: int = 0
    #: By session: who watches it.
    feeds: dict[int, SessionFeed] = field(default_factory=dict)
    classes: ResourceClasses = field(default_factory=ResourceClasses)
    outbox: Orders = field(default_factory=Orders)
    #: Sessions in which something happened in this step.
    touched: set[int] = field(default_factory=set)
    #: Shorter stretches of neighbouring tasks are finished one by one.
    min_stretch: int = MIN_STRETCH
    attention: Attention = field(default_factory=Attention)
    #: Not before this time it is looked (again) for tasks to take back.
    retract_at_s: float = 0.0
    #: Counts scheduling rounds; turns the order of the sessions.
    turn: int = 0
    #: Bytes per second at which a worker gets large objects, as far as that was seen.
    bandwidth: float = 2.5e8
    #: The cluster ends when it was idle for so long, see `liveness`; None: never.
    idle_end_s: float | None = None
    #: Since when there has been neither a client nor a session; None: that is not so.
    idle_since_s: float | None = None
    #: There has been a client.
    was_used: bool = False
    stopping: bool = False
