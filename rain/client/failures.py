"""From what the server says went wrong to the exception that a user sees."""

from __future__ import annotations

from msgspec.structs import replace

from rain.client.machine.effects import Trouble
from rain.client.source_lines import with_source_lines
from rain.core.cells import shown_place, with_cell_names
from rain.core.errors import RainException, SessionException, TaskException
from rain.core.failure import Cause, Failure
from rain.core.ids import task_name, worker_name
from rain.core.markup import size_text
from rain.core.note import TaskNote
from rain.core.resources import Request

#: As the server numbers the states of tasks.


def exception_from(
    trouble: Trouble,
    session: int,
    *,
    task: object | None = None,
    name: str | None = None,
    made_at: str | None = None,
    element: tuple[int, int] | None = None,
    request: Request | None = None,
) -> RainException:
    """A fresh exception; a task's one has its facts as attributes and the original exception as `__cause__`.

    `element`: which element of how many of a task array it is about. `request`: what the task asked for.
    """
    if trouble.task is None:
        if trouble.session_failed or trouble.server_gone:
            return SessionException(trouble.reason)
        return RainException(trouble.reason)
    note = (trouble.info and trouble.info.note) or TaskNote()
    failure = trouble.failure or Failure(cause=Cause.TASK, message=trouble.reason)
    failure = replace(failure, traceback=with_cell_names(with_source_lines(failure.traceback)))
    made_at, made_source = (None, "") if made_at is None else shown_place(made_at)
    task_id = task_name(session, trouble.task)
    worker = worker_name(trouble.worker) if trouble.worker else None
    headline = _headline(failure, _described(task_id, name, element), worker)
    if request is not None and failure.cause is Cause.EXECUTOR and "signal 9" in failure.message:
        headline += _memory_text(request)
    exception = TaskException(
        _text(failure, headline, made_at),
        task=task,
        task_id=task_id,
        task_name=name,
        index=None if element is None else element[0],
        worker=worker,
        attempt=trouble.attempt,
        remote_traceback=failure.traceback,
        debug=note.debug or failure.debug,
        stdout=note.stdout,
        stderr=note.stderr or failure.stderr,
        made_at=made_at,
        made_source=made_source,
        not_run=trouble.not_run,
        headline=headline,
    )
    if failure.pickled is not None:
        from rain.data.exceptions import exception_of

        exception.__cause__ = exception_of(failure)
    return exception


def is_cancelled(trouble: Trouble) -> bool:
    """Whether the task was cancelled rather than failed."""
    return trouble.failure is not None and trouble.failure.cause is Cause.CANCELLED


def _described(task_id: str, name: str | None, element: tuple[int, int] | None) -> str:
    described = task_id if name is None else f"{task_id} '{name}'"
    return described if element is None else f"{described} (element {element[0]} of {element[1]})"


def _headline(failure: Failure, described: str, worker: str | None) -> str:
    if failure.cause is Cause.CANCELLED:
        return f"task {described} was cancelled"
    where = f" on {worker}" if worker else ""
    return f"task {described} failed{where}: {failure.message}"


def _memory_text(request: Request) -> str:
    """What the request had to do with it, should memory have run out."""
    if request.memory_bytes:
        return f"\nit asked for memory={request.memory_bytes} ({size_text(request.memory_bytes)})"
    return '\nit asked for no memory: with memory="4 GiB", say, it runs only where there is so much'


def _text(failure: Failure, headline: str, made_at: str | None) -> str:
    lines = [headline]
    if made_at:
        lines.append(f"made at {made_at}")
    for title, text in (("on the worker", failure.traceback), ("debug", failure.debug), ("stderr", failure.stderr)):
        # The message of a failed program may be all that it said.
        if text.strip() and text.strip() not in failure.message:
            lines.append(f"--- {title}:\n{text.rstrip()}")
    return "\n".join(lines)
