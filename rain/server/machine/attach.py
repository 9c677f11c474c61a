"""A session whose client left goes on with another one, which reads what is in it."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from rain.core.ids import NONE, session_name
from rain.core.spec import TaskSpec
from rain.protocol.attaching import FindTasks, GraphRead, ReadGraph, TasksFound
from rain.protocol.client import AttachSession, RequestFailed, SessionAttached
from rain.protocol.codec import encode
from rain.protocol.columns import EMPTY, column, pack, unpack
from rain.server.machine.failures import session_failed
from rain.server.machine.state import ConnectedClient, ServerSession, ServerState
from rain.server.machine.tables import CONSTANT, KEPT
from rain.server.machine.waiters import content_type_of

#: Rows of tasks, of objects, and inputs, that one answer carries at most, and bytes of specs and of what is attached.
MAX_ROWS = 1 << 21
MAX_BYTES = 8 << 20
#: An error names at most so many sessions.
_MAX_NAMED = 10

_SHOWN_FLAGS = bytes(flags & (KEPT | CONSTANT) for flags in range(256))


def attach_session(state: ServerState, client: ConnectedClient, message: AttachSession) -> None:
    """Gives a session without a client to this one; answers why not otherwise."""
    session, complaint = _find(state, client, message.name)
    if session is None:
        state.outbox.tell_client(client.number, RequestFailed(message.request, complaint))
        return
    # Later tasks and objects have higher numbers, and what a submit that was cut off left behind is gone.
    session.client = client.number
    session.orphaned_s = None
    client.sessions.add(session.number)
    session.reported_done = len(session.tasks) - session.unfinished
    answer = SessionAttached(
        request=message.request,
        session=session.number,
        name=session.name,
        fail_fast=session.fail_fast,
        n_specs=len(session.specs),
        n_tasks=len(session.tasks),
        n_objects=len(session.objects),
        done=session.reported_done,
        failed=None if session.failed_reason is None else session_failed(state, session, session.failed_reason),
        impossible=session.unrunnable_reason,
        ttl_s=session.ttl_s,
    )
    state.outbox.tell_client(client.number, answer)


def read_graph(state: ServerState, client: ConnectedClient, session: ServerSession, message: ReadGraph) -> None:
    """Answers with specs, tasks and objects from where the request says, as many as one message may carry."""
    tasks = session.tasks
    first, end = message.first_task, min(message.first_task + MAX_ROWS, len(tasks))
    input_end = inputs = EMPTY
    if message.edges and first < end:
        starts = tasks.input_start
        # As many tasks as have so many inputs together, and one at least.
        end = max(first + 1, bisect_right(starts, starts[first] + MAX_ROWS, first, end + 1) - 1)
        input_end = column(starts[first + 1 : end + 1])
        inputs = column(tasks.inputs[starts[first] : starts[end]])
    answer = GraphRead(
        request=message.request,
        specs=_some_specs(session.specs, message.first_spec),
        spec=column(tasks.spec[first:end]),
        flags=memoryview(
            session.objects.flags[message.first_object : message.first_object + MAX_ROWS].translate(_SHOWN_FLAGS)
        ),
        input_end=input_end,
        inputs=inputs,
    )
    state.outbox.tell_client(client.number, answer)


def find_tasks(state: ServerState, client: ConnectedClient, session: ServerSession, message: FindTasks) -> None:
    """Answers which tasks have this name, or are these, with what they read."""
    specs = session.tasks.spec
    if message.name is None:
        tasks = unpack("I", message.tasks, "tasks")
        if tasks and max(tasks) >= len(specs):
            text = f"There are {len(specs)} tasks, and number {max(tasks)} was asked for."
            state.outbox.tell_client(client.number, RequestFailed(message.request, text))
            return
        count, found = len(tasks), _as_fit(session, tasks, len(tasks))
    else:
        named = {number for number, spec in enumerate(session.specs) if spec.name == message.name}
        count = sum(map(specs.count, named))
        found = _as_fit(session, _rows(specs, named, max(0, message.first)), message.limit)
    state.outbox.tell_client(client.number, _described(session, message.request, count, found))


def leave_behind(state: ServerState, session: ServerSession) -> None:
    """Its client left while a submit was under way: what the stash has of that is not needed."""
    for part in session.parts:
        state.outbox.forgotten(session.number).extend(range(part.first_task, part.first_task + part.n_tasks))
        state.outbox.drop_stashed(session.number).extend(part.constants)
    state.outbox.drop_stashed(session.number).extend(session.uploads)
    session.parts.clear()
    session.uploads.clear()


def _find(state: ServerState, client: ConnectedClient, name: str) -> tuple[ServerSession | None, str]:
    """The session of that name (or number, "s3") that waits for a client, or why there is none.

    One of this client's own will do: it may have let go of its handle.
    """
    named = [each for each in state.sessions.values() if name in (each.name, session_name(each.number))]
    free = [each for each in named if each.orphaned_s is not None or each.client == client.number]
    if not named:
        there = ", ".join(_shown(each) for each in list(state.sessions.values())[:_MAX_NAMED]) or "none"
        return None, (
            f"There is no session '{name}'; there are: {there}. A session outlives its client only where it was opened "
            "with a ttl, and only for that time."
        )
    if not free:
        return None, (
            f"{_shown(named[0])} is in use: its client is connected. It can be attached when that client has left."
        )
    if len(free) > 1:
        return None, (
            f"{len(free)} sessions are called '{name}': attach one by its number, such as "
            f"'{session_name(free[-1].number)}'."
        )
    return free[0], ""


def _shown(session: ServerSession) -> str:
    return session_name(session.number) + (f" '{session.name}'" if session.name else "")


def _some_specs(specs: list[TaskSpec], first: int) -> tuple[TaskSpec, ...]:
    """From the first one on, without functions and settings; one at least, where there is one."""
    some: list[TaskSpec] = []
    room = MAX_BYTES
    for number in range(first, len(specs)):
        spec = replace(specs[number], body=b"", config=b"")
        room -= len(encode(spec))
        if room < 0 and some:
            break
        some.append(spec)
    return tuple(some)


def _rows(specs: array[int], named: set[int], first: int) -> Iterator[int]:
    """The tasks that have one of these specs, from the first one on."""
    if len(named) != 1:
        yield from (task for task in range(first, len(specs)) if specs[task] in named)
        return
    [number] = named
    task = first - 1
    while True:
        try:
            task = specs.index(number, task + 1)
        except ValueError:
            return
        yield task


def _as_fit(session: ServerSession, tasks: Iterable[int], limit: int) -> array[int]:
    """The first of these tasks, as many as are wanted and a message can carry, one at least."""
    found = array("I")
    attached, starts = session.attached, session.tasks.input_start
    rows, n_bytes = MAX_ROWS, MAX_BYTES
    for task in tasks:
        if len(found) >= min(limit, MAX_ROWS):
            break
        rows -= starts[task + 1] - starts[task]
        n_bytes -= len(attached.task_specs.get(task, b""))
        if attached.object_specs:
            n_bytes -= sum(len(attached.object_specs.get(obj, b"")) for obj in _objects(session, task))
        if found and (rows < 0 or n_bytes < 0):
            break
        found.append(task)
    return found


def _objects(session: ServerSession, task: int) -> set[int]:
    """What a task reads and makes."""
    tasks = session.tasks
    first = tasks.first_output[task]
    return {*tasks.inputs_of(task), *range(first, first + session.spec_outputs[tasks.spec[task]])}


def _described(session: ServerSession, request: int, count: int, found: array[int]) -> TasksFound:
    tasks, objects, attached = session.tasks, session.objects, session.attached
    inputs = array("I")
    for task in found:
        inputs += tasks.inputs_of(task)
    producer = array("I", map(objects.producer.__getitem__, inputs))
    with_users = {obj for task in found for obj in _objects(session, task)} if attached.object_specs else set()
    return TasksFound(
        request=request,
        count=count,
        tasks=column(found),
        first_output=pack("I", map(tasks.first_output.__getitem__, found)),
        n_inputs=pack("I", (tasks.input_start[task + 1] - tasks.input_start[task] for task in found)),
        inputs=column(inputs),
        producer=column(producer),
        producer_output=pack("I", (NONE if made_by == NONE else tasks.first_output[made_by] for made_by in producer)),
        constant_types=tuple(
            content_type_of(session, obj) for obj, made_by in zip(inputs, producer, strict=True) if made_by == NONE
        ),
        task_users=tuple((task, attached.task_specs[task]) for task in found if task in attached.task_specs),
        object_users=tuple(
            (obj, attached.object_specs[obj]) for obj in sorted(with_users & attached.object_specs.keys())
        ),
    )
