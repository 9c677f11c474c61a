"""One outgoing connection: it is made, proves both sides to one another, and ends. It never comes back by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum

import zmq

from rain.wire import watch
from rain.wire.endpoint import Context, Limits, Socket, client_options, endpoint_url, transport_options
from rain.wire.keys import KeyPair


class Outcome(Enum):
    """How a handshake ended."""

    #: The server holds the secret of its key, and lists ours.
    ACCEPTED = "accepted"
    #: The server holds the secret of its key, and does not list ours.
    REFUSED = "refused"
    #: The connection was closed without a word: the server does not hold the secret of the key we know.
    CLOSED = "closed"
    #: Whatever listens there does not speak this protocol.
    FOREIGN = "foreign"
    #: Nothing was heard in time.
    SILENT = "silent"


_OUTCOMES = {
    watch.SUCCEEDED: Outcome.ACCEPTED,
    watch.REFUSED: Outcome.REFUSED,
    watch.FOREIGN: Outcome.FOREIGN,
    watch.BROKEN: Outcome.CLOSED,
    watch.DISCONNECTED: Outcome.CLOSED,
    watch.CLOSED: Outcome.CLOSED,
}


class Dial:
    """A DEALER socket with its one connection; `on_end` is called once when a connection that stood is gone."""

    def __init__(
        self,
        context: Context,
        keypair: KeyPair,
        server_key: bytes,
        limits: Limits,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_end = on_end
        self._outcome: asyncio.Future[Outcome] = self._loop.create_future()
        self._ended = False
        self._closed = False
        self.socket: Socket = context.socket(zmq.DEALER)
        try:
            client_options(self.socket, keypair, server_key)
        except BaseException:
            self.socket.close(linger=0)
            raise
        transport_options(self.socket, limits)
        events = 0
        for event in _OUTCOMES:
            events |= event
        self._watch = watch.Watch(self.socket, self._loop, events, self._news)

    async def open(self, address: str, port: int, timeout_s: float) -> Outcome:
        """Connects to a numeric address and says how the handshake ended."""
        self.socket.ipv6 = ":" in address
        # Later than our own limit, so that silence is not taken for a closed door.
        self.socket.handshake_ivl = round((timeout_s + 1) * 1000)
        self.socket.connect(endpoint_url(address, port))
        done, _ = await asyncio.wait([self._outcome], timeout=timeout_s)
        return self._outcome.result() if done else Outcome.SILENT

    def close(self, linger_s: float = 0.0) -> None:
        """Closes the connection; what was sent has `linger_s` to leave, in the background."""
        if self._closed:
            return
        self._closed = True
        self._watch.close()
        self.socket.close(linger=round(linger_s * 1000))

    def _news(self, event: int, value: int) -> None:
        if self._closed:
            return
        if not self._outcome.done():
            self._outcome.set_result(_OUTCOMES[event])
        elif event == watch.DISCONNECTED and not self._ended:
            self._ended = True
            if self._on_end is not None:
                self._on_end()
