"""What an attempt leaves to be read besides its results."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

#: Characters of the text of `ctx.progress`.
MAX_PROGRESS_TEXT = 200
#: Of standard output and of standard error the last so many bytes are kept.
MAX_CAPTURED_BYTES = 16 << 10


class TaskProgress(NamedTuple):
    """How far an attempt is, as it said last by `ctx.progress`."""

    #: From 0 to 1.
    fraction: float
    text: str = ""


class TaskNote(msgspec.Struct, frozen=True, array_like=True):
    """Most attempts leave nothing, and then there is no note."""

    #: Lines of `ctx.debug`, joined by newlines.
    debug: str = ""
    #: JSON of `ctx.info.user`; empty where there is none.
    user: bytes = b""
    #: The end of what it printed; where something was cut off before it, that is said there.
    stdout: str = ""
    stderr: str = ""
    progress: TaskProgress | None = None


def note_bytes(note: TaskNote) -> int:
    """About how much memory a note takes."""
    said = len(note.debug) + len(note.user) + len(note.stdout) + len(note.stderr) + 200
    return said if note.progress is None else said + progress_bytes(note.progress)


def progress_bytes(progress: TaskProgress) -> int:
    """The same of what a task said of its progress."""
    return len(progress.text) + 200
