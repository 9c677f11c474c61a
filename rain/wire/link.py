"""The connecting side: one server behind a DEALER socket. A link that is lost is lost; a new one is a new peer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import zmq

from rain.core.errors import RainException
from rain.wire.dial import Dial, Outcome
from rain.wire.endpoint import CONTROL, FOLLOWED_BYTES, Context, Frames, Limits, read_payload, write_message
from rain.wire.inbox import Inbox
from rain.wire.keys import KeyPair
from rain.wire.outbox import RETRY_S, Outbox
from rain.wire.reach import reach

#: A server that knows us closes a handshake only when its time is up; a sooner end means that the keys do not fit.
_BUSY_AFTER_S = 2.0


class Link:
    """A proven, encrypted connection to one server; made by `await Link.connect(…)` in a running loop.

    `on_batch` gets a list of messages. `on_lost(reason)` is called once, after the last message was handed over, unless
    this side closed the link.
    """

    def __init__(
        self,
        on_batch: Callable[[list[Frames]], None],
        on_lost: Callable[[str], None],
        limits: Limits,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_batch = on_batch
        self._on_lost = on_lost
        self._limits = limits
        self._dial: Dial | None = None
        self._inbox: Inbox[Frames] | None = None
        self._outbox = Outbox(self._write, limits)
        self._flush_timer: asyncio.TimerHandle | None = None
        self._lost_reason: str | None = None
        #: The transport's sockets may be used by any thread, but by one at a time.
        self._using = threading.RLock()

    @classmethod
    async def connect(
        cls,
        context: Context,
        host: str,
        port: int,
        *,
        keypair: KeyPair,
        server_key: bytes,
        on_batch: Callable[[list[Frames]], None],
        on_lost: Callable[[str], None],
        timeout_s: float = 5.0,
        limits: Limits = CONTROL,
        access: str = "the access file",
    ) -> Link:
        """Connects, and returns when both sides have proven who they are.

        `access` names where the keys came from, for errors. Raises RainException within `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        address = await reach(host, port, timeout_s)
        link = cls(on_batch, on_lost, limits)
        while True:
            started = time.monotonic()
            try:
                dial = Dial(context, keypair, server_key, limits, link._ended)
            except (zmq.ZMQError, ValueError) as error:
                raise RainException(f"Cannot connect to {host}:{port} with the keys in {access}: {error}") from None
            outcome = await _open(dial, address, port, max(0.01, deadline - started))
            if outcome is Outcome.ACCEPTED:
                link._start(dial)
                return link
            now = time.monotonic()
            if outcome is not Outcome.CLOSED or now - started < _BUSY_AFTER_S or now >= deadline:
                raise RainException(_explain(outcome, f"{host}:{port}", access, timeout_s))

    @property
    def unsent_bytes(self) -> int:
        """What waits because the server reads slowly; small messages that the transport has taken do not count."""
        return self._outbox.unsent_bytes

    def send(self, frames: Frames) -> bool:
        """Sends in order and never waits; False when the link is lost or closed.

        Buffers must not change until they have left. More unread than the limit makes the link lost.
        """
        if self._inbox is None or self._lost_reason is not None:
            return False
        if not self._outbox.send(frames):
            self._lose(f"the other side leaves more than {self._limits.outbox_bytes >> 20} MiB unread")
            return False
        self._inbox.poke()
        if self._outbox:
            self._schedule_flush()
        return True

    def send_at_once(self, frames: Frames) -> bool:
        """Sends a small message from any thread; False, with nothing done, where it would have to wait."""
        if not self._using.acquire(blocking=False):
            return False
        try:
            if self._dial is None or self._lost_reason is not None or self._outbox:
                return False
            if any(len(frame) >= FOLLOWED_BYTES for frame in frames):
                return False
            try:
                write_message(self._dial.socket, frames)
            except zmq.ZMQError:
                return False
            # The loop may not be woken for what arrived while this thread used the socket.
            events = self._dial.socket.getsockopt(zmq.EVENTS)
            has_news = isinstance(events, int) and bool(events & zmq.POLLIN)
        finally:
            self._using.release()
        if has_news:
            self._loop.call_soon_threadsafe(self._poke)
        return True

    async def drain(self, limit_s: float) -> bool:
        """Waits until the transport has taken all that was sent; False if it has not in time, or the link is lost."""
        deadline = self._loop.time() + limit_s
        while self._outbox and self._loop.time() < deadline:  # noqa: ASYNC110 (flushes set the pace)
            await asyncio.sleep(RETRY_S)
        return not self._outbox and self._lost_reason is None

    def close(self) -> None:
        """Ends the link without a call of `on_lost`.

        What the transport has taken leaves in the background, within the limits' `linger_s`; what still waits for a
        slow reader is lost, see `drain`.
        """
        if self._dial is None:
            return
        if self._lost_reason is None:
            self._outbox.flush()
        self._outbox.clear()
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        if self._inbox is not None:
            self._inbox.close()
            self._inbox = None
        with self._using:
            self._dial.close(self._limits.linger_s if self._lost_reason is None else 0.0)
            self._dial = None

    def _poke(self) -> None:
        if self._inbox is not None:
            self._inbox.poke()

    def _start(self, dial: Dial) -> None:
        self._dial = dial
        self._inbox = Inbox(
            dial.socket,
            self._loop,
            self._on_batch,
            self._limits.batch_messages,
            receive=self._receive,
            on_empty=self._all_read,
        )

    def _receive(self) -> Frames | None:
        assert self._dial is not None, "a closed link reads nothing"
        socket = self._dial.socket
        with self._using:
            header = socket.recv(zmq.NOBLOCK, copy=False)
            message: Frames = [header.bytes]
            is_short = not header.more or read_payload(socket, message, self._limits.frames)
        if not is_short:
            self._lose(f"the other side sent a message of more than {self._limits.frames} frames")
            return None
        # The server's question whether this side is there; the transport has answered it.
        return None if message == [b""] else message

    def _write(self, message: Frames) -> list[zmq.MessageTracker]:
        assert self._dial is not None, "a closed link sends nothing"
        with self._using:
            return write_message(self._dial.socket, message)

    def _ended(self) -> None:
        self._lose("the connection ended")

    def _lose(self, reason: str) -> None:
        if self._lost_reason is None:
            self._lost_reason = reason
            self._outbox.clear()
            if self._inbox is not None:
                self._inbox.poke()

    def _all_read(self) -> None:
        """Called when everything that had arrived was handed over."""
        if self._lost_reason is not None:
            self.close()
            self._on_lost(self._lost_reason)
        elif self._outbox and self._outbox.flush() and self._inbox is not None:
            self._inbox.poke()

    def _schedule_flush(self) -> None:
        if self._flush_timer is None:
            self._flush_timer = self._loop.call_later(RETRY_S, self._flush)

    def _flush(self) -> None:
        self._flush_timer = None
        if self._inbox is None or self._lost_reason is not None:
            return
        self._outbox.flush()
        if self._outbox:
            self._schedule_flush()
        self._inbox.poke()


async def _open(dial: Dial, address: str, port: int, timeout_s: float) -> Outcome:
    """Opens, and closes again whatever does not lead to a link: a refusal as well as a cancelled caller."""
    outcome = Outcome.SILENT
    try:
        outcome = await dial.open(address, port, timeout_s)
    finally:
        if outcome is not Outcome.ACCEPTED:
            dial.close()
    return outcome


def _explain(outcome: Outcome, where: str, access: str, timeout_s: float) -> str:
    if outcome is Outcome.REFUSED:
        return (
            f"The server at {where} refused the key in {access}: it is not, or no longer, on the server's list. "
            "Copy the access file of the server that runs there now (rain server writes it anew at each start)."
        )
    if outcome is Outcome.CLOSED:
        return (
            f"The server at {where} closed the connection during the handshake: {access} does not belong to this "
            "server (perhaps to one that ran there before), or something else than Rain listens there. "
            "Copy the access file of the server that runs there now, or check the port."
        )
    if outcome is Outcome.FOREIGN:
        return f"What listens at {where} is no Rain server, or one without encryption. Check the port in {access}."
    return (
        f"The server at {where} accepted a connection but did not answer within {timeout_s:g} s. "
        "It may be overloaded or stopped; try again, or look at its log."
    )
