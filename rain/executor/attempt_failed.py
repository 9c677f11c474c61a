"""A failure that Rain itself found in a task: a wrong result, a program that failed, a file that is not there."""

from __future__ import annotations


class AttemptFailed(Exception):
    """Fails the attempt with this text for the user, without a traceback; `stderr` is the end of a program's."""

    def __init__(self, message: str, *, stderr: str = "") -> None:
        super().__init__(message)
        self.stderr = stderr
