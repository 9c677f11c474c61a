"""A failed task as a notebook shows it: the user's own frames, and folded what else is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rain.client.picture.palette import LOOKS
from rain.client.records import CANCELLED, FAILED
from rain.core.errors import TaskException
from rain.core.failure_text import not_run_text, own_frames
from rain.core.ids import parse_task
from rain.core.markup import Content, Markup, badge, bold, card, code, cut, end_of, facts, fold, joined, quiet
from rain.protocol.columns import pack
from rain.protocol.queries import QueryTasks, TaskNews

if TYPE_CHECKING:
    from rain.client.requests import Asking
    from rain.client.session import Session
    from rain.client.task import Task

#: The graph is read so long to find out what depends on a failed task.
_GRAPH_LIMIT_S = 2.0


def failure_html(error: TaskException) -> Markup:
    """The failure, the cause first; other frames, the output and all the rest behind folds."""
    look = LOOKS["cancelled" if error.headline.endswith(" was cancelled") else "failed"]
    described = error.task_id or "a task"
    if error.task_name:
        described += f" '{error.task_name}'"
    message = error.headline.partition(": ")[2]
    whole, own = error.remote_traceback.rstrip(), own_frames(error.remote_traceback)
    folds: list[Content] = []
    if own != whole:
        folds.append(fold("all frames", code(cut(whole, 1 << 16))))
    said = (("stdout", error.stdout), ("debug", error.debug))
    folds += [fold(title, code(end_of(text))) for title, text in said if text.strip()]
    if error.stderr.strip() and error.stderr.strip() not in message:
        folds.insert(0, fold("stderr", code(end_of(error.stderr)), is_open=True))
    made_at: Content | None = None
    if error.made_at:
        made_at = joined(error.made_at, *([code(error.made_source)] if error.made_source else []))
    return card(
        joined(badge(f"{look.sign} {look.word}", look.fill), " ", bold(described), quiet(_where(error))),
        code(cut(message)) if message else "",
        code(cut(own)) if own else "",
        facts([("made at", made_at), ("because of it", not_run_text(error) if error.not_run else None)]),
        *folds,
    )


def failure_of(task: Task, timeout: float | None = None) -> TaskException | None:
    """Why a task failed or was cancelled, asked of the server; None where it did not.

    Of a task that never ran it is the failure of the one that it depends on. Raises RainException where the server
    cannot be asked.
    """
    session = task.session
    number = session._session_id

    async def steps(ask: Asking) -> Any:
        return await ask(lambda request: QueryTasks(request, number, pack("I", [task._number])))

    session._split([task], "looked at")
    news = session._requests.read(steps).result(timeout)
    assert isinstance(news, TaskNews), "the server answers QueryTasks with nothing else"
    if news.tasks[0].failure is None:
        return None
    try:
        # It has ended: this returns at once, and the server says which task is to blame.
        session._requests.wait([task], []).result(timeout)
    except TaskException as error:
        error.not_run = error.not_run or _n_not_run(session, error)
        # Where it was looked at is nowhere in the user's program.
        return error.with_traceback(None)
    return None


def _n_not_run(session: Session, error: TaskException) -> int:
    """How many of the tasks that depend on the failed one did not run, by the graph."""
    if error.task_id is None:
        return 0
    _, culprit = parse_task(error.task_id)
    shape, moment, _ = session._drawing.known.look(_GRAPH_LIMIT_S)
    return sum(moment.task_states[task] in (FAILED, CANCELLED) for task in shape.descendants(culprit))


def _where(error: TaskException) -> str:
    attempt = f", attempt {error.attempt + 1}" if error.attempt else ""
    return f" on {error.worker}{attempt}" if error.worker else ""
