"""The warning for who waits for tasks that no present worker can run."""

from __future__ import annotations

import sys
import warnings

from rain.core.errors import RainWarning


class UnrunnableNotice:
    """What the server says of a session's tasks that need a worker that is not there; shown once while it is so."""

    __slots__ = ("_seen", "_shown", "reason")

    def __init__(self) -> None:
        #: Set by the I/O thread; empty while all is well.
        self.reason = ""
        self._seen = ""
        self._shown = ""

    def show(self) -> None:
        """Warns, in the stack of the user's call that waits, of what still holds at the second look.

        Workers also leave, for a moment, when a cluster ends.
        """
        reason = self.reason
        if reason == self._shown:
            return
        if reason and reason != self._seen:
            self._seen = reason
            return
        self._shown = reason
        if reason:
            warnings.warn(reason, RainWarning, stacklevel=_user_level())


def _user_level() -> int:
    """The stack level, for `warn` in the caller, of the innermost frame outside of Rain."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("rain."):
        frame = frame.f_back
        level += 1
    return level
