"""A failure that Rain itself found in a task: a wrong result, a program that failed, a file that is not there."""

from __future__ import annotations

import errno
import os


class AttemptFailed(Exception):
    """Fails the attempt with this text for the user, without a traceback; `stderr` is the end of a program's."""

    def __init__(self, message: str, *, stderr: str = "") -> None:
        super().__init__(message)
        self.stderr = stderr


class NoRoom(AttemptFailed):
    """The disk of the worker's own folder is full, which is no fault of the task: it is tried at another worker."""


def is_no_room(error: BaseException | None) -> bool:
    """Whether it says that a disk is full, or that its user may not have more of it."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_full(path: str) -> bool:
    """Whether the disk of this path has no block left."""
    try:
        return not os.statvfs(path).f_bavail
    except OSError:
        return False  # the task took even that folder away
