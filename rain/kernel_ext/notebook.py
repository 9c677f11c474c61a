"""What the magics of one notebook work on: its connection, its sessions, and the names of its variables."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

from rain.cli.connect import Caller
from rain.client.active import get_active_session
from rain.client.client import Client
from rain.client.session import Session
from rain.core.errors import RainException
from rain.kernel_ext.view.views import Views

if TYPE_CHECKING:
    from rain.kernel_ext.cell import Cell

#: What becomes of tasks when the cell that submitted them is interrupted.
ON_INTERRUPT = ("cancel", "detach")


class Notebook(Caller):
    """A notebook, or an interactive terminal, with its variables (`namespace`)."""

    def __init__(self, namespace: MutableMapping[str, Any], shell: Any = None) -> None:
        self.namespace = namespace
        #: What its sessions look like while they work.
        self.views = Views(shell)
        #: The cell of the `%%rain` that is running.
        self.cell: Cell | None = None
        self._client: Client | None = None
        self._detached: weakref.WeakSet[Session] = weakref.WeakSet()

    @property
    def connected(self) -> Client | None:
        """The client of `%rain start` or `%rain connect`, else that of the active session; None: there is none.

        Raises RainException where the connection was lost.
        """
        for client in (self._client, _active_client()):
            if client is None or client._closed:
                continue
            if client._shell.lost_reason is not None:
                raise RainException(
                    f"the connection to {client.address} was lost: {client._shell.lost_reason}; "
                    "`%rain start` or `%rain connect` makes a new one"
                )
            return client
        return None

    @property
    def session(self) -> Session:
        """The active session. Raises RainException where there is none."""
        try:
            return get_active_session()
        except RainException:
            raise RainException("there is no session: `%rain session NAME` makes one") from None

    def use(self, client: Client) -> None:
        """The magics talk to this client's server from now on; an earlier connection to it is closed."""
        before, self._client = self._client, client
        if before is not None and before is not client and before.address == client.address:
            before.close()

    def forget_lost(self) -> None:
        """Lets go of a connection that was lost."""
        if self._client is not None and not self._client._shell.usable:
            self._client.close()
            self._client = None
        session_client = _active_client()
        if session_client is not None and session_client._shell.lost_reason is not None:
            session_client.close()

    def on_interrupt(self, session: Session) -> str:
        """What becomes of tasks of a session when the cell that submitted them is interrupted."""
        return "detach" if session in self._detached else "cancel"

    def set_on_interrupt(self, session: Session, what: str) -> None:
        """Says so: "cancel" or "detach"."""
        if what not in ON_INTERRUPT:
            raise RainException(f"on_interrupt: expected 'cancel' or 'detach', found {what!r}")
        if what == "detach":
            self._detached.add(session)
        else:
            self._detached.discard(session)

    def sessions(self) -> Iterator[Session]:
        """The open sessions that this notebook can know of: by its variables, its connections, and the active one."""
        values = list(self.namespace.values())
        clients = [value for value in values if isinstance(value, Client)]
        found = {value for value in values if isinstance(value, Session)}
        for client in (self._client, _active_client(), *clients):
            if client is not None and not client._closed:
                found.update(client._sessions.values())
        yield from (session for session in found if session.client is not None and session.state == "open")


def _active_client() -> Client | None:
    try:
        return get_active_session().client
    except RainException:
        return None
