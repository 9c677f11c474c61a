"""The views of a notebook: what its magics show of sessions, in the mode that suits."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from rain.client.live.following import look
from rain.client.live.texts import full_text, static_line
from rain.core.errors import RainException
from rain.kernel_ext.view.modes import Mode, may_control, mode
from rain.kernel_ext.view.session_view import SessionView
from rain.kernel_ext.view.terminal import TerminalLine

if TYPE_CHECKING:
    from rain.client.pending import Pending
    from rain.client.session import Session

#: At the end of a wait the server has so long to say how things stand.
END_LIMIT_S = 5.0


class Views:
    """The views of one IPython shell, one per session."""

    def __init__(self, shell: Any = None) -> None:
        self._shell = shell
        self._views: weakref.WeakKeyDictionary[Session, SessionView] = weakref.WeakKeyDictionary()
        #: Also those of sessions that the user let go of: their follower keeps them.
        self._all: weakref.WeakSet[SessionView] = weakref.WeakSet()

    def show(self, session: Session) -> bool:
        """Shows a session anew where there is a picture; whether there is one."""
        if mode(self._shell) is not Mode.HTML:
            return False
        self._view(session).show()
        return True

    def submitted(self, session: Session) -> bool:
        """After a submit: shows the session where no picture of it goes on; whether that was so."""
        if mode(self._shell) is not Mode.HTML or self._view(session).is_shown:
            return False
        return self.show(session)

    def wait(
        self, session: Session, begin: Callable[[], Pending[None]], timeout: float | None, *, everything: bool
    ) -> None:
        """Waits for what begins so, and shows how it goes; in text at the end how it stands, if that is `everything`.

        Raises what the wait raises.
        """
        shown = mode(self._shell)
        if shown is Mode.HTML and not self._view(session).is_shown:
            self.show(session)
        try:
            with _line(session, shown) as terminal:
                pending = begin()
                (pending.looking(terminal.draw) if terminal else pending).result(timeout)
        except Exception:
            self._end(session, shown, everything=everything)
            raise
        # Whoever interrupts does not wait for more.
        self._end(session, shown, everything=everything)

    def settle(self, *_: Any) -> None:
        """The end of a cell: what it changed is shown before it has ended."""
        for view in list(self._all):
            view.settle()

    def stop(self) -> None:
        """What is displayed stays as it is."""
        for view in list(self._all):
            view.stop()

    def __iter__(self) -> Iterator[SessionView]:
        return iter(list(self._all))

    def _end(self, session: Session, shown: Mode, *, everything: bool) -> None:
        if shown is Mode.HTML:
            self._view(session).settle(END_LIMIT_S)
        elif everything and shown is not Mode.OFF:
            _tell(session, shown)

    def _view(self, session: Session) -> SessionView:
        view = self._views.get(session)
        if view is None:
            view = self._views[session] = SessionView(session, _connection(session))
            self._all.add(view)
        return view


def _connection(session: Session) -> Any:
    client = session.client
    if client is None:
        raise RainException(f"{session!r} has no server, so nothing happens in it that could be shown")
    return client._shell


def _line(session: Session, shown: Mode) -> contextlib.AbstractContextManager[TerminalLine | None]:
    if shown is Mode.TEXT and may_control():
        return TerminalLine(session, _connection(session))
    return contextlib.nullcontext()


def _tell(session: Session, shown: Mode) -> None:
    with contextlib.suppress(TimeoutError):
        standing = look(_connection(session), session.session_id, session.name, END_LIMIT_S)
        if not standing.over:
            click.echo(static_line(standing) if shown is Mode.STATIC else full_text(standing))
