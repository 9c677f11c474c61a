"""The controls of a session: an ipywidget that shows how it stands, filters its names, and cancels tasks."""

from __future__ import annotations

import weakref
from array import array
from typing import TYPE_CHECKING, Any

import ipywidgets

from rain.client.live.following import Follower
from rain.client.live.picture import session_picture
from rain.client.live.standing import SessionStanding
from rain.client.live.tree import MAX_ROWS
from rain.client.stopping import described_tasks, open_tasks, stop_tasks
from rain.core.errors import RainException

if TYPE_CHECKING:
    from rain.client.session import Session
    from rain.client.shell import Shell

#: The server has this long to say what was cancelled.
CANCEL_LIMIT_S = 5.0


class SessionProgress(ipywidgets.VBox):  # type: ignore[misc]
    """How a session stands, live; part of anyone's layout. `stop()` lets it be as it is."""

    def __init__(self, session: Session, shell: Shell) -> None:
        #: The widget must not keep the session.
        self._session_ref = weakref.ref(session)
        self._standing = SessionStanding(session.session_id, session.name)
        self.filter = ipywidgets.Text(placeholder="only names that begin so", layout={"width": "16em"})
        self.expand = ipywidgets.ToggleButton(value=False, description="all names", layout={"width": "8em"})
        self.cancel = ipywidgets.Button(description="cancel", tooltip="stops the tasks shown", layout={"width": "8em"})
        self.message = ipywidgets.Label()
        self.picture = ipywidgets.HTML()
        super().__init__([ipywidgets.HBox([self.filter, self.expand, self.cancel, self.message]), self.picture])
        self.filter.observe(self._draw, "value")
        self.expand.observe(self._draw, "value")
        self.cancel.on_click(self._cancel)
        self._draw()
        self._follower = Follower(shell, session.session_id, session.name, self._changed)

    def stop(self) -> None:
        """It hears no more; repeatable."""
        self._follower.stop()

    def close(self) -> None:
        """Ends the widget, too."""
        # Called for a widget that could not be made, as well.
        if hasattr(self, "_follower"):
            self.stop()
        super().close()

    def _changed(self, standing: SessionStanding) -> None:
        """Called in the I/O thread."""
        self._standing = standing
        self._draw()

    def _draw(self, change: Any = None) -> None:
        most = None if self.expand.value else MAX_ROWS
        self.picture.value = str(session_picture(self._standing, begin=self.filter.value, most=most))
        self.cancel.disabled = self._standing.is_at_rest or bool(self._standing.over)

    def _cancel(self, button: Any = None) -> None:
        session = self._session_ref()
        if session is None or session.state != "open":
            self.message.value = "the session is not open"
            return
        try:
            tasks = self._shown_tasks(session, open_tasks(session, 0, CANCEL_LIMIT_S))
            stopped = stop_tasks(session, tasks, CANCEL_LIMIT_S) if tasks else tasks
        except (RainException, TimeoutError) as problem:
            self.message.value = str(problem)
            return
        self.message.value = f"stopped {described_tasks(session, stopped)}" if stopped else "nothing was left to stop"

    def _shown_tasks(self, session: Session, tasks: array[int]) -> array[int]:
        """Those whose name passes the filter."""
        begin, graph = self.filter.value, session._graph
        if not begin:
            return tasks
        name_of = [(spec.name or str(spec.kind)).startswith(begin) for spec in graph.specs]
        return array("I", [task for task in tasks if name_of[graph.builder.specs[task]]])
