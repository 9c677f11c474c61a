"""What an attempt leaves to be read besides its results."""

from __future__ import annotations

import msgspec


class TaskNote(msgspec.Struct, frozen=True, array_like=True):
    """Most attempts leave nothing, and then there is no note."""

    #: Lines of `ctx.debug`, joined by newlines.
    debug: str = ""
    #: JSON of `ctx.info.user`; empty where there is none.
    user: bytes = b""
    #: The end of what it printed; where something was cut off before it, that is said there.
    stdout: str = ""
    stderr: str = ""
