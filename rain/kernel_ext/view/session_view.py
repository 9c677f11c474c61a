"""The live picture of one session: a display that goes on in the I/O thread, also after its cell has ended.

Nothing is printed there: an update names the display, not a cell. Front ends that run cells one after the other hear
only what comes while a cell runs, so the main thread shows the last state itself (`settle`).
"""

from __future__ import annotations

import secrets
import threading
import weakref
from copy import copy
from typing import TYPE_CHECKING

from rain.client.live.following import Follower, look
from rain.client.live.picture import session_picture
from rain.client.live.standing import SessionStanding
from rain.client.live.texts import full_text
from rain.client.stopping import n_submitted

if TYPE_CHECKING:
    from rain.client.session import Session
    from rain.client.shell import Shell

#: The server is waited for so long at the end of a cell; it may be far away, or gone.
LOOK_LIMIT_S = 0.2


class SessionView:
    """The display of one session; where it is shown again, all copies go on."""

    def __init__(self, session: Session, shell: Shell) -> None:
        #: The view must not keep the session.
        self._session = weakref.ref(session)
        self._shell = shell
        self._number, self._name = session.session_id, session.name
        self._display_id = f"rain-{secrets.token_hex(8)}"
        self._follower: Follower | None = None
        #: Guards what follows, and keeps displays in order.
        self._lock = threading.Lock()
        self._shown: SessionStanding | None = None
        #: The main thread showed this last, and so many tasks had been submitted then.
        self._is_settled = False
        self._n_settled = 0

    @property
    def is_shown(self) -> bool:
        """There is a display that goes on."""
        return self._follower is not None and not self._follower.is_over

    def show(self) -> None:
        """Shows it anew, in the cell that runs."""
        standing = self._look(LOOK_LIMIT_S)
        with self._lock:
            self._publish(standing or SessionStanding(self._number, self._name), update=False)
        if not self.is_shown and self._shell.usable:
            self._follower = Follower(self._shell, self._number, self._name, self._changed)

    def settle(self, limit_s: float = LOOK_LIMIT_S) -> None:
        """Has the display show how things stand now; to be called in the main thread before a cell ends.

        It stays as it is where the server does not say so within that time.
        """
        session = self._session()
        n_tasks = 0 if session is None else n_submitted(session)
        if self._shown is None or (self._is_settled and n_tasks == self._n_settled):
            return
        standing = self._look(limit_s)
        if standing is None:
            return
        with self._lock:
            self._publish(standing, update=True)
            self._is_settled = standing.is_at_rest or bool(standing.over)
            self._n_settled = n_tasks

    def stop(self) -> None:
        """The display stays as it is."""
        if self._follower is not None:
            self._follower.stop()

    def _look(self, limit_s: float) -> SessionStanding | None:
        """How it stands; None where the server does not say so in time."""
        try:
            standing = look(self._shell, self._number, self._name, limit_s)
        except TimeoutError:
            return None
        return _ended(self._shown, standing) if standing.over and self._shown is not None else standing

    def _changed(self, standing: SessionStanding) -> None:
        """Called in the I/O thread."""
        with self._lock:
            shown = self._shown
            if shown is not None and standing.elapsed_s < shown.elapsed_s:
                # The main thread has heard more.
                if not standing.over:
                    return
                standing = _ended(shown, standing)
            self._is_settled = False
            self._publish(standing, update=True)

    def _publish(self, standing: SessionStanding, *, update: bool) -> None:
        from IPython.display import display

        self._shown = copy(standing)
        self._shown.groups = dict(standing.groups)
        bundle = {"text/plain": full_text(standing), "text/html": str(session_picture(standing))}
        display(bundle, raw=True, display_id=self._display_id, update=update)


def _ended(last: SessionStanding, end: SessionStanding) -> SessionStanding:
    """What is gone tells nothing more: it is shown as it stood last."""
    found = copy(last)
    found.over, found.over_text = end.over, end.over_text
    return found
