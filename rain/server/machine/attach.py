"""A session whose client left goes on with another one; and finding its tasks by their names."""

from __future__ import annotations

from array import array

from msgspec.structs import replace

from rain.core.ids import session_name
from rain.protocol.client import AttachSession, FindTasks, RequestFailed, SessionAttached, TasksFound
from rain.protocol.columns import column
from rain.server.machine.failures import session_failed
from rain.server.machine.state import ConnectedClient, ServerSession, ServerState
from rain.server.machine.tables import CONSTANT, KEPT

#: An answer must fit into a message.
MAX_ATTACHED_BYTES = 48 << 20
#: An error names at most so many sessions.
_MAX_NAMED = 10

_SHOWN_FLAGS = bytes(flags & (KEPT | CONSTANT) for flags in range(256))


def attach_session(state: ServerState, client: ConnectedClient, message: AttachSession) -> None:
    """Gives a session without a client to this one, with what it must know to go on; answers why not otherwise."""
    session, complaint = _find(state, message.name)
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
        specs=tuple(replace(spec, body=b"", config=b"") for spec in session.specs),
        spec=column(array("I", session.tasks.spec)),
        flags=memoryview(session.objects.flags.translate(_SHOWN_FLAGS)),
        done=session.reported_done,
        failed=None if session.failed_reason is None else session_failed(session, session.failed_reason),
        impossible=session.unrunnable_reason,
    )
    state.outbox.tell_client(client.number, answer)


def find_tasks(state: ServerState, client: ConnectedClient, session: ServerSession, message: FindTasks) -> None:
    """Answers which tasks have this name."""
    specs = {number for number, spec in enumerate(session.specs) if spec.name == message.name}
    tasks = session.tasks
    found = array("I", [task for task, spec in enumerate(tasks.spec) if spec in specs] if specs else ())
    first_output = array("I", [tasks.first_output[task] for task in found])
    state.outbox.tell_client(client.number, TasksFound(message.request, column(found), column(first_output)))


def leave_behind(state: ServerState, session: ServerSession) -> None:
    """Its client left while a submit was under way: what the stash has of that is not needed."""
    for part in session.parts:
        state.outbox.forgotten(session.number).extend(range(part.first_task, part.first_task + part.n_tasks))
        state.outbox.drop_stashed(session.number).extend(part.constants)
    state.outbox.drop_stashed(session.number).extend(session.uploads)
    session.parts.clear()
    session.uploads.clear()


def _find(state: ServerState, name: str) -> tuple[ServerSession | None, str]:
    """The session of that name (or number, "s3") that waits for a client, or why there is none."""
    named = [each for each in state.sessions.values() if name in (each.name, session_name(each.number))]
    waiting = [each for each in named if each.orphaned_s is not None]
    if not named:
        there = ", ".join(_shown(each) for each in list(state.sessions.values())[:_MAX_NAMED]) or "none"
        return None, (
            f"There is no session '{name}'; there are: {there}. A session outlives its client only where it was opened "
            "with a ttl, and only for that time."
        )
    if not waiting:
        return None, (
            f"{_shown(named[0])} is in use: its client is connected. It can be attached when that client has left."
        )
    if len(waiting) > 1:
        return None, (
            f"{len(waiting)} sessions are called '{name}': attach one by its number, such as "
            f"'{session_name(waiting[-1].number)}'."
        )
    [session] = waiting
    if 4 * len(session.tasks) + len(session.objects) > MAX_ATTACHED_BYTES:
        return None, f"{_shown(session)} has {len(session.tasks)} tasks, too many to be attached."
    return session, ""


def _shown(session: ServerSession) -> str:
    return session_name(session.number) + (f" '{session.name}'" if session.name else "")
