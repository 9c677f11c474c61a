"""From what the server says went wrong to the exception that a user sees."""

from __future__ import annotations

from rain.client.machine.effects import Trouble
from rain.core.errors import RainException, SessionException, TaskException
from rain.core.failure import Cause, Failure
from rain.core.ids import task_name, worker_name


def exception_from(
    trouble: Trouble,
    session: int,
    *,
    task: object | None = None,
    name: str | None = None,
    made_at: str | None = None,
    element: tuple[int, int] | None = None,
) -> RainException:
    """A fresh exception; a task's one has its facts as attributes and the original exception as `__cause__`.

    `element`: which element of how many of a task array it is about.
    """
    if trouble.task is None:
        if trouble.session_failed or trouble.server_gone:
            return SessionException(trouble.reason)
        return RainException(trouble.reason)
    failure = trouble.failure or Failure(cause=Cause.TASK, message=trouble.reason)
    task_id = task_name(session, trouble.task)
    worker = worker_name(trouble.worker) if trouble.worker else None
    exception = TaskException(
        _text(failure, _described(task_id, name, element), worker, made_at),
        task=task,
        task_id=task_id,
        task_name=name,
        index=None if element is None else element[0],
        worker=worker,
        attempt=trouble.attempt,
        remote_traceback=failure.traceback,
        debug=failure.debug,
        stderr=failure.stderr,
        made_at=made_at,
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


def _text(failure: Failure, described: str, worker: str | None, made_at: str | None) -> str:
    if failure.cause is Cause.CANCELLED:
        lines = [f"task {described} was cancelled"]
    else:
        where = f" on {worker}" if worker else ""
        lines = [f"task {described} failed{where}: {failure.message}"]
    if made_at:
        lines.append(f"made at {made_at}")
    for title, text in (("on the worker", failure.traceback), ("debug", failure.debug), ("stderr", failure.stderr)):
        # The message of a failed program may be all that it said.
        if text.strip() and text.strip() not in failure.message:
            lines.append(f"--- {title}:\n{text.rstrip()}")
    return "\n".join(lines)
