"""What an attempt leaves to be read besides its results."""

from __future__ import annotations

import msgspec

#: Of standard output and of standard error the last so many bytes are kept.
MAX_CAPTURED_BYTES = 16 << 10


class TaskNote(msgspec.Struct, frozen=True, array_like=True):
    """Most attempts leave nothing, and then there is no note."""

    #: Lines of `ctx.debug`, joined by newlines.
    debug: str = ""
    #: JSON of `ctx.info.user`; empty where there is none.
    user: bytes = b""
    #: The end of what it printed; where something was cut off before it, that is said there.
    stdout: str = ""
    stderr: str = ""


def note_bytes(note: TaskNote) -> int:
    """About how much memory a note takes."""
    return len(note.debug) + len(note.user) + len(note.stdout) + len(note.stderr) + 200
