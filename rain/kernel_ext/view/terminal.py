"""A session in a terminal: a line that is written over while a command waits, in the thread that waits."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from rain.client.live.following import Follower
from rain.client.live.standing import SessionStanding
from rain.client.live.texts import live_line

if TYPE_CHECKING:
    from rain.client.session import Session
    from rain.client.shell import Shell

#: Back to the begin of the line, and delete it.
_CLEAR = "\r\x1b[K"


class TerminalLine:
    """`with TerminalLine(…) as line:`, and `line.draw()` now and then; nothing of it stays."""

    def __init__(self, session: Session, shell: Shell) -> None:
        self._latest: SessionStanding | None = None
        self._drawn = ""
        self._follower = Follower(shell, session.session_id, session.name, self._changed)

    def draw(self) -> None:
        """Shows what is known."""
        standing = self._latest
        line = "" if standing is None else live_line(standing)[: shutil.get_terminal_size().columns - 1]
        if line != self._drawn:
            sys.stdout.write(_CLEAR + line)
            sys.stdout.flush()
            self._drawn = line

    def __enter__(self) -> TerminalLine:
        return self

    def __exit__(self, *_: object) -> None:
        self._follower.stop()
        if self._drawn:
            sys.stdout.write(_CLEAR)
            sys.stdout.flush()

    def _changed(self, standing: SessionStanding) -> None:
        self._latest = standing
