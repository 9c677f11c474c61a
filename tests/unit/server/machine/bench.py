"""A bench for the server's machine, with its own vocabulary: a client that builds graphs, workers that report.

Tasks and objects are numbered as a client would. What the machine ordered is told in short sentences, so that a test
reads `bench.expect("w1 computes t0", ...)`; `expect` fails when anything else happened. The invariants are checked
after every step.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from rain.core.failure import Cause, Failure
from rain.core.resources import UNIT, Offer, Request
from rain.core.spec import OutputSpec, TaskSpec
from rain.protocol.client import (
    Ack,
    CancelTasks,
    CloseSession,
    DrainWorker,
    FromClient,
    Locate,
    OpenSession,
    Progress,
    RequestFailed,
    ServerAlive,
    SessionFailed,
    SessionOpened,
    Submit,
    Unkeep,
    Unrunnable,
    Wait,
    WaitDone,
)
from rain.protocol.columns import Column, pack
from rain.protocol.worker import Cancel, Done, Drop, EndSession, Failed, FromWorker, ServerPing, Stop, Unavailable
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
from rain.server.machine.events import (
    ClientJoined,
    ClientLeft,
    ClientSaid,
    Event,
    Tick,
    WorkerJoined,
    WorkerLeft,
    WorkerSaid,
)
from rain.server.machine.machine import ServerMachine
from rain.server.machine.state import ServerSession

BOOM = Failure(cause=Cause.TASK, message="boom")


class Made(NamedTuple):
    """A task of the bench and its outputs."""

    task: int
    outputs: tuple[int, ...]

    @property
    def out(self) -> int:
        """The first output."""
        return self.outputs[0]


def numbers(typecode: str, data: Column) -> list[int]:
    """A column as a list."""
    found = array(typecode)
    found.frombytes(data)
    return list(found)


def spec(outputs: int = 1, *, retries: int = 0, priority: int = 0, cpus: float = 1, name: str | None = "f") -> TaskSpec:
    """A spec; equal ones are sent once per session."""
    return TaskSpec(
        kind="python",
        name=name,
        outputs=tuple(OutputSpec(label=str(number)) for number in range(outputs)),
        request=Request(cpus=int(cpus * UNIT)),
        retries=retries,
        priority=priority,
    )


PLAIN = spec()


class Draft:
    """What a client collected for its next submit."""

    def __init__(self, first_task: int, first_object: int, first_spec: int) -> None:
        self.first = (first_task, first_object, first_spec)
        self.specs: list[TaskSpec] = []
        self.spec: list[int] = []
        self.first_output: list[int] = []
        self.n_inputs: list[int] = []
        self.inputs: list[int] = []
        self.kept: list[int] = []
        self.constants: list[tuple[int, int, int]] = []
        self.n_objects = 0

    def message(self, session: int, *, last: bool = True) -> Submit:
        """The part of a submit that says it."""
        n = len(self.spec)
        data = sum(size for _, size, inline in self.constants if inline)
        return Submit(
            session=session,
            last=last,
            first_spec=self.first[2],
            specs=tuple(self.specs),
            first_task=self.first[0],
            n_tasks=n,
            spec=pack("I", self.spec),
            first_output=pack("I", self.first_output),
            n_inputs=pack("I", self.n_inputs),
            inputs=pack("I", self.inputs),
            args_size=pack("I", [0] * n),
            first_object=self.first[1],
            n_objects=self.n_objects,
            kept=pack("I", sorted(self.kept)),
            constants=pack("I", [obj for obj, _, _ in self.constants]),
            constant_size=pack("Q", [size for _, size, _ in self.constants]),
            constant_inline=pack("B", [inline for _, _, inline in self.constants]),
            constant_data=memoryview(bytes(data)),
            constant_type=pack("H", [0] * len(self.constants)),
            content_types=(None,),
        )


class Bench:
    """One machine, one client (number 1) with one session (number 1), any number of workers."""

    def __init__(self, *, fail_fast: bool = True, ttl_s: float | None = None) -> None:
        self.machine = ServerMachine(7)
        self.now = 1000.0
        self.effects: list[Effect] = []
        self.n_workers = 0
        self.n_requests = 0
        self.n_tasks = self.n_objects = 0
        self.specs: list[TaskSpec] = []
        self.outputs: dict[int, tuple[int, ...]] = {}
        self.fail_fast = fail_fast
        self.draft = Draft(0, 0, 0)
        self.happens(ClientJoined(1), ClientSaid(1, OpenSession(0, fail_fast=fail_fast, ttl_s=ttl_s)))
        self.expect("request 0 opened s1")

    # ------------------------------------------------------------------ what happens

    def happens(self, *events: Event) -> None:
        """One step of the machine."""
        self.now += 0.001
        before = {number: bytes(session.tasks.stage) for number, session in self.machine.state.sessions.items()}
        self.effects += self.machine.handle(events, self.now)
        invariants.check(self.machine.state)
        for number, session in self.machine.state.sessions.items():
            invariants.check_history(before.get(number, b""), bytes(session.tasks.stage))

    def client_says(self, *messages: FromClient, client: int = 1) -> None:
        self.happens(*(ClientSaid(client, message) for message in messages))

    def worker_says(self, worker: int, *messages: FromWorker) -> None:
        self.happens(*(WorkerSaid(worker, message) for message in messages))

    def constant(self, size: int = 1, *, keep: bool = False, inline: bool = True) -> int:
        obj = self.n_objects
        self.n_objects += 1
        self.draft.n_objects += 1
        self.draft.constants.append((obj, size, int(inline)))
        if keep:
            self.draft.kept.append(obj)
        return obj

    def resend(self, obj: int, size: int = 1) -> None:
        self.draft.constants.append((obj, size, 1))

    def task(self, *reads: int, spec: TaskSpec = PLAIN, keep: bool = False) -> Made:
        """A task of the next submit."""
        if spec not in self.specs:
            self.specs.append(spec)
            self.draft.specs.append(spec)
        number, first, n = self.n_tasks, self.n_objects, len(spec.outputs)
        self.n_tasks += 1
        self.n_objects += n
        draft = self.draft
        draft.spec.append(self.specs.index(spec))
        draft.first_output.append(first)
        draft.n_inputs.append(len(reads))
        draft.inputs += reads
        draft.n_objects += n
        outputs = tuple(range(first, first + n))
        if keep:
            draft.kept += outputs
        self.outputs[number] = outputs
        return Made(number, outputs)

    def tasks(self, n: int, *, keep: bool = False) -> list[Made]:
        return [self.task(keep=keep) for _ in range(n)]

    def part(self, *, last: bool = False) -> Submit:
        """The message for what was built since the last one; it is the bench's turn to say it."""
        message = self.draft.message(1, last=last)
        self.draft = Draft(self.n_tasks, self.n_objects, len(self.specs))
        return message

    def submit(self) -> None:
        """Sends what was built since the last submit."""
        self.client_says(self.part(last=True))

    def waits(self, *tasks: int, everything: bool = False, some: bool = False) -> int:
        request = self._request()
        self.client_says(Wait(request, 1, pack("I", tasks), all_tasks=everything, some=some))
        return request

    def locates(self, *objects: int) -> int:
        request = self._request()
        self.client_says(Locate(request, 1, pack("I", objects)))
        return request

    def unkeeps(self, *objects: int) -> None:
        self.client_says(Unkeep(1, pack("I", objects)))

    def cancels(self, *tasks: int) -> int:
        request = self._request()
        self.client_says(CancelTasks(request, 1, pack("I", tasks)))
        return request

    def drains(self, worker: int) -> int:
        request = self._request()
        self.client_says(DrainWorker(request, worker, True))
        return request

    def closes(self) -> int:
        request = self._request()
        self.client_says(CloseSession(request, 1))
        return request

    def client_leaves(self) -> None:
        self.happens(ClientLeft(1))

    def worker_joins(self, cpus: float = 1) -> int:
        self.n_workers += 1
        worker = self.n_workers
        offer = Offer(cpus=int(cpus * UNIT))
        self.happens(WorkerJoined(worker, "host", worker, offer, "127.0.0.1", 7000 + worker, f"key{worker}"))
        return worker

    def worker_leaves(self, worker: int) -> None:
        self.happens(WorkerLeft(worker))

    def done(self, tasks: Sequence[int], **how: object) -> Done:
        """The report that these tasks are done; see `finishes`."""
        attempt, size = how.get("attempt"), how.get("size", 100_000)
        assert isinstance(size, int)
        inline = size <= 4096
        n_outputs = sum(len(self.outputs[task]) for task in tasks)
        attempts = [self.session.tasks.attempt[task] if attempt is None else attempt for task in tasks]
        return Done(
            session=1,
            task=pack("I", tasks),
            attempt=pack("I", attempts),  # type: ignore[arg-type]
            duration_us=pack("I", [how.get("us", 1000)] * len(tasks)),  # type: ignore[arg-type]
            size=pack("Q", [size] * n_outputs),
            inline=pack("B", [int(inline)] * n_outputs),
            data=memoryview(bytes(size * n_outputs if inline else 0)),
        )

    def finishes(self, worker: int, *tasks: int, **how: object) -> None:
        """The worker reports success. `attempt`: the present one; `size` of each output: 100,000; `us`: 1,000."""
        self.worker_says(worker, self.done(tasks, **how))

    def fails(self, worker: int, task: int, failure: Failure = BOOM, attempt: int | None = None) -> None:
        attempt = self.session.tasks.attempt[task] if attempt is None else attempt
        self.worker_says(worker, Failed(1, task, attempt, failure))

    def lacks(self, worker: int, obj: int, holder: int, *tasks: int, unwritten: str = "") -> None:
        """The worker could not get the object from the holder, or not write it, and gives these tasks back."""
        attempts = [self.session.tasks.attempt[task] for task in tasks]
        lacking = Unavailable(
            1, pack("I", [obj]), pack("I", [holder]), pack("I", tasks), pack("I", attempts), unwritten
        )
        self.worker_says(worker, lacking)

    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.happens(Tick())

    # ------------------------------------------------------------------ what is seen

    @property
    def session(self) -> ServerSession:
        return self.machine.state.sessions[1]

    def stages(self) -> list[int]:
        return list(self.session.tasks.stage)

    def computes(self) -> list[SendCompute]:
        """The messages that give tasks to workers, since the last look."""
        return [effect for effect in self.effects if isinstance(effect, SendCompute)]

    def answer(self, kind: type[msgspec.Struct]) -> msgspec.Struct:
        """The only message of this kind to the client since the last look."""
        (found,) = [
            effect.message
            for effect in self.effects
            if isinstance(effect, TellClient) and isinstance(effect.message, kind)
        ]
        return found

    def ignore(self) -> None:
        """What happened so far is not what the test is about."""
        self.effects.clear()

    def expect(self, *sentences: str) -> None:
        """Exactly this happened since the last look, in any order."""
        found = [say(effect) for effect in self.effects]
        self.effects.clear()
        assert sorted(found) == sorted(sentences), f"expected {sorted(sentences)}, found {sorted(found)}"

    def expect_nothing(self) -> None:
        self.expect()

    def _request(self) -> int:
        self.n_requests += 1
        return self.n_requests


def _list(letter: str, ids: Iterable[int]) -> str:
    return " ".join(f"{letter}{number}" for number in ids)


def say(effect: Effect) -> str:
    """An effect in words."""
    match effect:
        case SendCompute(worker, compute):
            return f"w{worker} computes {_list('t', numbers('I', compute.task))}"
        case TellWorker(worker, Drop(_, objects)):
            return f"w{worker} drops {_list('o', sorted(numbers('I', objects)))}"
        case TellWorker(worker, Cancel(_, task, attempt)):
            pairs = sorted(zip(numbers("I", task), numbers("I", attempt), strict=True))
            return f"w{worker} cancels " + " ".join(f"t{number}.{tried}" for number, tried in pairs)
        case TellWorker(worker, EndSession(session)):
            return f"w{worker} ends s{session}"
        case TellWorker(worker, ServerPing()):
            return f"w{worker} is asked"
        case TellWorker(worker, Stop()):
            return f"w{worker} stops"
        case StashResults() | StashStretch() | DropStashed() | ForgetTasks() | CloseStash():
            return say_to_stash(effect)
        case SendLocated(_, _, objects, located):
            holders, inline = numbers("I", located.holder), numbers("B", located.inline)
            places = [
                f"o{obj}@{'inline' if is_inline else f'w{holder}' if holder else 'server'}"
                for obj, holder, is_inline in zip(numbers("I", objects), holders, inline, strict=True)
            ]
            return f"request {located.request} located {' '.join(places)}"
        case SendWaitDone(_, _, done):
            return say_to_client(done)
        case DropClient(client, _):
            return f"client {client} is dropped"
        case DropWorker(worker, _):
            return f"w{worker} is dropped"
        case Terminate():
            return "the server ends"
        case TellClient(_, message):
            return say_to_client(message)
    raise AssertionError(f"no words for {effect}")


def say_to_stash(effect: StashResults | StashStretch | DropStashed | ForgetTasks | CloseStash) -> str:
    """An order to the stash in words."""
    match effect:
        case StashResults(_, objects, _, _, _):
            return f"stash keeps {_list('o', objects)}"
        case StashStretch(_, first, size, _):
            return f"stash keeps {_list('o', range(first, first + len(size)))}"
        case DropStashed(_, objects):
            return f"stash drops {_list('o', sorted(objects))}"
        case ForgetTasks(_, tasks):
            return f"stash forgets {_list('t', sorted(tasks))}"
        case CloseStash(session):
            return f"stash closes s{session}"


def say_to_client(message: msgspec.Struct) -> str:
    """A message to a client in words."""
    match message:
        case WaitDone(request, finished):
            tasks = _list(" t", numbers("I", finished)).replace("  ", " ")
            return f"request {request} is done{tasks}"
        case RequestFailed(request, _, task):
            return f"request {request} failed" + ("" if task is None else f" by t{task}")
        case SessionFailed(session, _, task):
            return f"s{session} failed" + ("" if task is None else f" by t{task}")
        case Progress(_, done, unfinished):
            return f"{done} done, {unfinished} left"
        case Ack(request):
            return f"request {request} is acknowledged"
        case SessionOpened(request, session):
            return f"request {request} opened s{session}"
        case ServerAlive():
            return "the client is told that the server lives"
        case Unrunnable(session, reason):
            return f"s{session} lacks a worker" if reason else f"s{session} lacks no worker"
    return f"client gets {type(message).__name__}"
