"""The errors a user sees, and the two that only Rain's own programs raise."""

from __future__ import annotations


class RainException(Exception):
    """A call that cannot be carried out; the text says what was expected, what was found, and what to do."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of it: nothing of the inside of Rain."""
        from rain.core.failure_text import error_lines

        return error_lines(self)


class SessionException(RainException):
    """A session that can no longer be used: it failed, was closed, or its server went away."""


class TaskException(SessionException):
    """A task that failed or was cancelled; its facts are attributes.

    Attributes: `task` (the client's handle where it is known, else None), `task_id` ("s1.t3"), `task_name`, `index`
    (its element of a task array, else None), `worker` ("w2" or None), `attempt`, `remote_traceback` (the user's own
    frames, text), `debug` (the task's debug lines), `stdout` and `stderr` (the ends of them), `made_at` ("file.py:12",
    where the task was made), `made_source` (the line of code there), `not_run` (how many tasks did not run because of
    it, as far as that is known), `headline` (the first lines of the text). The original exception is `__cause__` where
    it could be carried.
    """

    def __init__(
        self,
        message: str,
        *,
        task: object | None = None,
        task_id: str | None = None,
        task_name: str | None = None,
        index: int | None = None,
        worker: str | None = None,
        attempt: int = 0,
        remote_traceback: str = "",
        debug: str = "",
        stdout: str = "",
        stderr: str = "",
        made_at: str | None = None,
        made_source: str = "",
        not_run: int = 0,
        headline: str | None = None,
    ) -> None:
        super().__init__(message)
        self.task = task
        self.task_id = task_id
        self.task_name = task_name
        self.index = index
        self.worker = worker
        self.attempt = attempt
        self.remote_traceback = remote_traceback
        self.debug = debug
        self.stdout = stdout
        self.stderr = stderr
        self.made_at = made_at
        self.made_source = made_source
        self.not_run = not_run
        self.headline = message if headline is None else headline

    def _render_traceback_(self) -> list[str]:
        from rain.core.failure_text import failure_lines

        return failure_lines(self)


class RainWarning(UserWarning):
    """Something that works but is likely not what was meant, such as a very large pickled argument."""


class ProtocolViolation(Exception):
    """A peer said something that the protocol does not allow; that peer is dropped and nobody else suffers."""


class InvariantViolation(AssertionError):
    """Our own mistake: a state machine found its state in contradiction with itself."""
