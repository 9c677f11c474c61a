"""What clients say. A request that cannot be met is answered; nothing here can harm another client's session."""

from __future__ import annotations

from array import array

from rain.core.ids import NONE, object_name, session_name, task_name
from rain.core.marked import Marked
from rain.protocol.attaching import FindTasks, ReadGraph
from rain.protocol.client import (
    Ack,
    CancelTasks,
    CloseSession,
    Leave,
    Locate,
    OpenSession,
    RequestFailed,
    SessionOpened,
    Shutdown,
    Submit,
    Unkeep,
    Unwait,
    Upload,
    Wait,
)
from rain.protocol.columns import unpack
from rain.protocol.feed import WatchSession
from rain.protocol.queries import QueryObjects, QueryServer, QueryTasks, TaskNews
from rain.protocol.worker import EndSession, Stop
from rain.server.machine.attach import find_tasks, leave_behind, read_graph
from rain.server.machine.commit import commit
from rain.server.machine.effects import CloseStash, Terminate
from rain.server.machine.failures import fail_session
from rain.server.machine.feed import end_feed, unwatch, watch
from rain.server.machine.incoming import session_gone
from rain.server.machine.snapshot import object_news, server_info, task_news
from rain.server.machine.stages import ASSIGNED
from rain.server.machine.state import ConnectedClient, PendingLocate, PendingWait, ServerSession, ServerState
from rain.server.machine.submit_checks import SubmitRefused, check_meaning
from rain.server.machine.submit_parts import check_form
from rain.server.machine.task_info import task_states
from rain.server.machine.transitions import stop_with_readers, unassign
from rain.server.machine.unkeep import unkeep as unkeep_objects
from rain.server.machine.waiters import start_locate, start_wait

#: A hundred years; a ttl that is no number would keep its session for ever.
MAX_TTL_S = 100 * 365 * 86400.0


def open_session(state: ServerState, client: ConnectedClient, message: OpenSession) -> None:
    """Makes a session; it gets the next number."""
    if message.ttl_s is not None and not 0.0 <= message.ttl_s <= MAX_TTL_S:
        text = f"A session outlives its client by 0 to {MAX_TTL_S:.0f} seconds, found {message.ttl_s}."
        state.outbox.tell_client(client.number, RequestFailed(message.request, text))
        return
    state.last_session += 1
    number = state.last_session
    state.sessions[number] = ServerSession(
        number=number,
        client=client.number,
        name=message.name,
        fail_fast=message.fail_fast,
        ttl_s=message.ttl_s,
    )
    client.sessions.add(number)
    state.outbox.tell_client(client.number, SessionOpened(message.request, number))


def close_session(state: ServerState, client: ConnectedClient, message: CloseSession) -> None:
    """Ends a session of this client; one that is gone is fine."""
    if message.session in client.sessions:
        end_session(state, message.session)
    state.outbox.tell_client(client.number, Ack(message.request))


def end_session(state: ServerState, number: int) -> None:
    """The session is no more: its tasks stop, its data goes, who waited for it is told."""
    session = state.sessions.pop(number, None)
    if session is None:
        return
    state.outbox.session_ended(number)
    session_gone(state, number)
    end_feed(state, number, f"{session_name(number)} was closed.")
    client = state.clients.get(session.client)
    if client is not None:
        client.sessions.discard(number)
        reason = f"{session_name(number)} was closed."
        for request in [wait.request for wait in session.waits] + [locate.request for locate in session.locates]:
            state.outbox.tell_client(client.number, RequestFailed(request, reason))
    for worker in state.workers.values():
        if worker.specs_told.pop(number, None) is None:
            continue
        state.outbox.tell_worker(worker.number, EndSession(number))
        objects = session.objects
        worker.n_objects -= objects.holder.count(worker.number)
        worker.n_objects -= sum(worker.number in others for others in objects.replicas.values())
    _count_off_assigned(state, session)
    state.outbox.say_last(CloseStash(number))


def _count_off_assigned(state: ServerState, session: ServerSession) -> None:
    """The tasks of a session that ended are not outstanding any more."""
    tasks = session.tasks
    task = tasks.stage.find(ASSIGNED)
    while task >= 0:
        unassign(state, session, task)
        task = tasks.stage.find(ASSIGNED, task + 1)


def upload(state: ServerState, client: ConnectedClient, message: Upload) -> None:
    """Notes that the bytes of a large constant are coming into the stash; the submit that names it comes after."""
    session = _session(state, client, message.session)
    if session is not None:
        session.uploads[message.object] = message.total


def submit(state: ServerState, client: ConnectedClient, message: Submit) -> None:
    """Collects the parts of a submit; with the last one all are committed, or the session fails and nothing changes.

    Raises ProtocolViolation when a part is wrong in form.
    """
    part = check_form(message)
    session = _session(state, client, message.session)
    if session is None or session.failed_reason is not None:
        return
    session.parts.append(part)
    if not message.last:
        return
    parts, session.parts = session.parts, []
    state.touched.add(session.number)
    try:
        check_meaning(session, parts)
    except SubmitRefused as refused:
        fail_session(state, session, str(refused))
        return
    commit(state, session, parts)


def unkeep(state: ServerState, client: ConnectedClient, message: Unkeep) -> None:
    """The client does not want these objects any more; those that nobody else needs are released."""
    session = _session(state, client, message.session)
    if session is not None:
        unkeep_objects(state, session, message)


def wait(state: ServerState, client: ConnectedClient, message: Wait) -> None:
    """Answers when the tasks are done, or any of them where `some`."""
    tasks = None if message.all_tasks else unpack("I", message.tasks, "tasks")
    session = _session_or_answer(state, client, message.session, message.request)
    if session is None:
        return
    n_tasks = len(session.tasks)
    if tasks and max(tasks) >= n_tasks:
        text = f"{task_name(session.number, max(tasks))} was not submitted, there are {n_tasks} tasks."
        state.outbox.tell_client(client.number, RequestFailed(message.request, text))
        return
    some = None
    if message.after:
        some = session.followed.pop(message.after, None)
        if some is None:
            text = f"There is no wait {message.after} that another one may follow."
            state.outbox.tell_client(client.number, RequestFailed(message.request, text))
            return
    elif message.some:
        some = Marked(range(n_tasks) if tasks is None else tasks)
        tasks = some.numbers() if tasks is None else tasks
    start_wait(state, session, PendingWait(client.number, message.request, tasks, n_tasks, some, message.stays))


def unwait(state: ServerState, client: ConnectedClient, message: Unwait) -> None:
    """Forgets a wait, a request for locations or a watch of this client."""
    for number in client.sessions:
        session = state.sessions[number]
        session.waits = [wait for wait in session.waits if wait.request != message.request]
        session.followed.pop(message.request, None)
        session.locates = [locate for locate in session.locates if locate.request != message.request]
    unwatch(state, client.number, message.request)


def locate(state: ServerState, client: ConnectedClient, message: Locate) -> None:
    """Answers when all the objects exist, or when it is clear that one will not."""
    objects = unpack("I", message.objects, "objects")
    session = _session_or_answer(state, client, message.session, message.request)
    if session is None or _names_unknown_object(state, client, session, objects, message.request):
        return
    start_locate(state, session, PendingLocate(client.number, message.request, objects))


def query_tasks(state: ServerState, client: ConnectedClient, message: QueryTasks) -> None:
    """Answers with the present state of tasks."""
    tasks = unpack("I", message.tasks, "tasks")
    session = _session_or_answer(state, client, message.session, message.request)
    if session is None:
        return
    if tasks and max(tasks) >= len(session.tasks):
        text = f"{task_name(session.number, max(tasks))} was not submitted, there are {len(session.tasks)} tasks."
        state.outbox.tell_client(client.number, RequestFailed(message.request, text))
        return
    if message.states_only:
        states = memoryview(task_states(session, None if message.all_tasks else tasks))
        state.outbox.tell_client(client.number, TaskNews(message.request, states=states))
    else:
        state.outbox.tell_client(client.number, task_news(state, session, message.request, tasks))


def query_objects(state: ServerState, client: ConnectedClient, message: QueryObjects) -> None:
    """Answers with the present state of objects."""
    objects = unpack("I", message.objects, "objects")
    session = _session_or_answer(state, client, message.session, message.request)
    if session is None or _names_unknown_object(state, client, session, objects, message.request):
        return
    state.outbox.tell_client(client.number, object_news(session, message.request, objects))


def find_named(state: ServerState, client: ConnectedClient, message: FindTasks) -> None:
    """Answers which tasks have a name, or what tasks of these numbers read."""
    session = _session_or_answer(state, client, message.session, message.request)
    if session is not None:
        find_tasks(state, client, session, message)


def read_rows(state: ServerState, client: ConnectedClient, message: ReadGraph) -> None:
    """Answers with rows of a session that the client attached."""
    session = _session_or_answer(state, client, message.session, message.request)
    if session is not None:
        read_graph(state, client, session, message)


def watch_session(state: ServerState, client: ConnectedClient, message: WatchSession) -> None:
    """Answers with how the tasks of a session stand, now or when there is something new."""
    session = _session_or_answer(state, client, message.session, message.request)
    if session is not None:
        watch(state, client, session, message)


def cancel_tasks(state: ServerState, client: ConnectedClient, message: CancelTasks) -> None:
    """Stops tasks and everything that depends on them."""
    tasks = unpack("I", message.tasks, "tasks")
    session = _session_or_answer(state, client, message.session, message.request)
    if session is None:
        return
    state.touched.add(session.number)
    known = [task for task in tasks if task < len(session.tasks)]
    stop_with_readers(state, session, known, NONE, through_finished=True)
    state.outbox.tell_client(client.number, Ack(message.request))


def query_server(state: ServerState, client: ConnectedClient, message: QueryServer) -> None:
    """Answers with what `rain status` shows."""
    state.outbox.tell_client(client.number, server_info(state, message.request))


def shutdown(state: ServerState, client: ConnectedClient, message: Shutdown) -> None:
    """Ends all workers and the server."""
    state.outbox.tell_client(client.number, Ack(message.request))
    end_cluster(state)


def end_cluster(state: ServerState) -> None:
    """Ends all workers and the server; repeatable."""
    if state.stopping:
        return
    state.stopping = True
    for worker in state.workers:
        state.outbox.tell_worker(worker, Stop())
    state.outbox.say_last(Terminate())


def leave(state: ServerState, client: ConnectedClient, message: Leave) -> None:
    """The client goes by itself: whoever comes after its answer finds everything settled."""
    client_lost(state, client.number)
    state.outbox.tell_client(client.number, Ack(message.request))


def client_lost(state: ServerState, number: int) -> None:
    """The client is gone: its sessions end, at once or when their time is over."""
    client = state.clients.pop(number, None)
    if client is None:
        return
    unwatch(state, number)
    for session_number in sorted(client.sessions):
        session = state.sessions[session_number]
        session.waits.clear()
        session.followed.clear()
        session.locates.clear()
        leave_behind(state, session)
        session.orphaned_s = state.now
        if not session.ttl_s:
            end_session(state, session_number)


def _session(state: ServerState, client: ConnectedClient, number: int) -> ServerSession | None:
    return state.sessions[number] if number in client.sessions else None


def _session_or_answer(state: ServerState, client: ConnectedClient, number: int, request: int) -> ServerSession | None:
    session = _session(state, client, number)
    if session is None:
        text = f"{session_name(number)} is not an open session of this client."
        state.outbox.tell_client(client.number, RequestFailed(request, text))
    return session


def _names_unknown_object(
    state: ServerState, client: ConnectedClient, session: ServerSession, objects: array[int], request: int
) -> bool:
    if not objects or max(objects) < len(session.objects):
        return False
    text = f"{object_name(session.number, max(objects))} was not submitted, there are {len(session.objects)} objects."
    state.outbox.tell_client(client.number, RequestFailed(request, text))
    return True
