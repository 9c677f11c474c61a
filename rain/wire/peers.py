"""The listening side: many peers behind one ROUTER socket.

A peer is a connection, named by an id that this side makes up; an id never comes back. Its role is that of the key with
which it proved itself. Rain's own Links drop the empty message that `Peers` sends to find out whether a peer is there.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterable

import zmq

from rain.wire import cut, watch
from rain.wire.endpoint import (
    Context,
    Frames,
    Limits,
    Socket,
    read_payload,
    server_options,
    transport_options,
    write_message,
)
from rain.wire.gate import Gate
from rain.wire.inbox import Inbox
from rain.wire.keys import KeyPair
from rain.wire.listen import listen, near_address
from rain.wire.outbox import RETRY_S, Outbox
from rain.wire.self_check import check_gate

#: A message with its sender and the sender's role.
Received = tuple[bytes, str, Frames]

#: A descriptor whose connection ended may already belong to a new one, so its peer is asked, with growing pauses (about
#: four seconds in all), until it proves gone.
_PROBES = 12
_FIRST_PAUSE_S = 0.001


class _Peer:
    """What is known of a connection that has spoken."""

    __slots__ = ("address", "descriptor", "dropped", "outbox", "role")

    def __init__(self, role: str, descriptor: int, outbox: Outbox, *, dropped: bool) -> None:
        self.role = role
        #: Of the far end; tells the connection from a later one with the same descriptor.
        self.address = cut.far_address(descriptor)
        #: Of the connection; names it in the transport's news.
        self.descriptor = descriptor
        self.outbox = outbox
        #: Ignored from now on; kept until its connection ends.
        self.dropped = dropped


class Peers:
    """One listening endpoint: batches of messages in, messages out, and who is gone.

    `on_batch` gets a list of (peer, role, frames). `on_gone(peer)` is called once for each peer that has spoken and was
    not dropped, after the last of its messages was handed over. `roles` are those that may come in here; without it the
    caller opens the domain at the gate. To be made in a running loop.
    """

    def __init__(
        self,
        context: Context,
        gate: Gate,
        keypair: KeyPair,
        *,
        domain: str,
        limits: Limits,
        on_batch: Callable[[list[Received]], None],
        on_gone: Callable[[bytes], None],
        roles: Iterable[str] | None = None,
    ) -> None:
        self._context = context
        self._gate = gate
        self._keypair = keypair
        self._limits = limits
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._peers: dict[bytes, _Peer] = {}
        self._by_descriptor: dict[int, bytes] = {}
        self._ended_descriptors: set[int] = set()
        self._suspects: dict[bytes, int] = {}
        self._is_probe_due = False
        self._probe_timer: asyncio.TimerHandle | None = None
        self._backlog: set[bytes] = set()
        self._flush_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._domain = domain
        self.address = ""
        self.port = 0
        if roles is not None:
            gate.open_domain(domain, roles)
        self._socket: Socket = context.socket(zmq.ROUTER)
        server_options(self._socket, keypair, domain)
        transport_options(self._socket, limits)
        self._socket.router_mandatory = True
        self._watch = watch.Watch(self._socket, self._loop, watch.ACCEPTED | watch.DISCONNECTED, self._connection_news)
        self._inbox: Inbox[Received] = Inbox(
            self._socket, self._loop, on_batch, limits.batch_messages, receive=self._receive, on_empty=self._all_read
        )

    def bind(self, host: str, port: int) -> int:
        """Listens on `host` and `port` (0: a free one); the port. Raises RainException if that is not possible."""
        self.address, self.port = listen(self._socket, host, port)
        return self.port

    async def self_check(self) -> None:
        """Proves that this endpoint refuses strangers, within milliseconds. Raises RainException if it does not."""
        await check_gate(
            self._context,
            self._gate,
            address=near_address(self.address),
            port=self.port,
            server_key=self._keypair.public,
            domain=self._domain,
        )

    def send(self, peer: bytes, frames: Frames) -> bool:
        """Sends in order and never waits; False when the peer is gone.

        Buffers must not change until they have left. A peer that leaves more unread than the limit is cut off, and
        reported gone.
        """
        known = self._peers.get(peer)
        if known is None or known.dropped or self._closed:
            return False
        try:
            taken = known.outbox.send(frames)
        except zmq.ZMQError as error:
            self._unreachable(peer, error)
            return False
        self._inbox.poke()
        if not taken:
            self._give_up(peer)
            return False
        if known.outbox:
            self._backlog.add(peer)
            self._schedule_flush()
        return True

    def drop(self, peer: bytes) -> None:
        """Ignores this peer from now on: nothing more is sent to it or heard of it, not even that it is gone.

        Its connection is cut when what was sent before had time to leave, within the limits' `linger_s`.
        """
        if self._ignore(peer):
            self._loop.call_later(self._limits.linger_s, self._cut, peer)

    def _give_up(self, peer: bytes) -> None:
        """It does not read, or sends what nobody can read: what the transport holds for it is let go at once."""
        if self._ignore(peer):
            self._cut(peer)
            self._loop.call_soon(self._on_gone, peer)

    def _ignore(self, peer: bytes) -> bool:
        """Whether it was not ignored before."""
        known = self._peers.get(peer)
        if known is None or known.dropped:
            return False
        known.dropped = True
        known.outbox.clear()
        self._backlog.discard(peer)
        return True

    def _cut(self, peer: bytes) -> None:
        known = self._peers.get(peer)
        if known is not None and not self._closed:
            cut.cut(known.descriptor, known.address)

    def unsent_bytes(self, peer: bytes) -> int:
        """What waits for this peer because it reads slowly."""
        known = self._peers.get(peer)
        return 0 if known is None else known.outbox.unsent_bytes

    async def drain(self, limit_s: float) -> bool:
        """Waits until the transport has taken all that was sent to anyone; False if it has not in time."""
        deadline = self._loop.time() + limit_s
        while self._backlog and self._loop.time() < deadline:  # noqa: ASYNC110 (flushes set the pace)
            await asyncio.sleep(RETRY_S)
        return not self._backlog

    def close(self) -> None:
        """Closes every connection.

        What the transport has taken leaves in the background, within the limits' `linger_s`; what still waits for a
        slow reader is lost, see `drain`.
        """
        if self._closed:
            return
        for peer in list(self._backlog):
            self._flush_peer(peer)
        self._closed = True
        for timer in (self._probe_timer, self._flush_timer):
            if timer is not None:
                timer.cancel()
        self._inbox.close()
        self._watch.close()
        self._socket.close()

    def _receive(self) -> Received | None:
        socket = self._socket
        peer = socket.recv(zmq.NOBLOCK)
        header = socket.recv(zmq.NOBLOCK, copy=False)
        known = self._peers.get(peer)
        if known is None:
            known = self._admit(peer, header)
        message: Frames = [header.bytes]
        if header.more and not read_payload(socket, message, self._limits.frames):
            self._give_up(peer)
            return None
        if known.dropped or message == [b""]:
            return None
        return peer, known.role, message

    def _admit(self, peer: bytes, first: zmq.Frame) -> _Peer:
        role = self._gate.role_of(str(first.get("User-Id")).encode())
        descriptor = int(first.get(int(zmq.SRCFD)))
        # Ids that this side makes up are five bytes and begin with 0; a peer that chose its own is not one of ours.
        own_id = len(peer) == 5 and peer[0] == 0
        outbox = Outbox(lambda message: self._write(peer, message), self._limits)
        known = _Peer(role or "", descriptor, outbox, dropped=role is None or not own_id)
        self._peers[peer] = known
        previous = self._by_descriptor.get(descriptor)
        self._by_descriptor[descriptor] = peer
        if previous is not None:
            self._suspect(previous)
        if descriptor in self._ended_descriptors:
            self._suspect(peer)
        return known

    def _write(self, peer: bytes, message: Frames) -> list[zmq.MessageTracker]:
        return write_message(self._socket, [peer, *message])

    def _unreachable(self, peer: bytes, error: zmq.ZMQError) -> None:
        if error.errno != errno.EHOSTUNREACH:
            raise error
        self._suspect(peer)

    def _connection_news(self, event: int, descriptor: int) -> None:
        if event == watch.ACCEPTED:
            self._ended_descriptors.discard(descriptor)
            return
        self._ended_descriptors.add(descriptor)
        peer = self._by_descriptor.get(descriptor)
        if peer is not None:
            self._suspect(peer)

    def _all_read(self) -> None:
        """Called when everything that had arrived was handed over."""
        # The same wake may mean that a slow reader has read.
        progress = [self._flush_peer(peer) for peer in list(self._backlog)]
        if any(progress):
            self._inbox.poke()
        if self._is_probe_due:
            self._is_probe_due = False
            self._probe()
            # A probe is a send, which may take away the wake-up of a message that arrives at the same moment.
            self._inbox.poke()

    def _suspect(self, peer: bytes) -> None:
        self._suspects[peer] = 0
        self._is_probe_due = True
        self._inbox.poke()

    def _probe(self) -> None:
        """Asks the transport whether suspects are there; all that they had sent was handed over before."""
        gone = [peer for peer in self._suspects if self._is_gone(peer)]
        for peer in gone:
            self._forget(peer)
        for peer, probes in list(self._suspects.items()):
            if probes + 1 < _PROBES:
                self._suspects[peer] = probes + 1
            else:
                del self._suspects[peer]
        if self._suspects and self._probe_timer is None:
            pause_s = _FIRST_PAUSE_S * 2 ** min(self._suspects.values())
            self._probe_timer = self._loop.call_later(pause_s, self._probe_again)

    def _probe_again(self) -> None:
        self._probe_timer = None
        self._is_probe_due = True
        self._inbox.poke()

    def _is_gone(self, peer: bytes) -> bool:
        try:
            self._write(peer, [b""])
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            return error.errno == errno.EHOSTUNREACH
        return False

    def _forget(self, peer: bytes) -> None:
        self._suspects.pop(peer, None)
        self._backlog.discard(peer)
        known = self._peers.pop(peer, None)
        if known is None:
            return
        if self._by_descriptor.get(known.descriptor) == peer:
            del self._by_descriptor[known.descriptor]
        if not known.dropped:
            self._on_gone(peer)

    def _schedule_flush(self) -> None:
        if self._flush_timer is None:
            self._flush_timer = self._loop.call_later(RETRY_S, self._flush)

    def _flush(self) -> None:
        self._flush_timer = None
        for peer in list(self._backlog):
            self._flush_peer(peer)
        self._inbox.poke()
        if self._backlog:
            self._schedule_flush()

    def _flush_peer(self, peer: bytes) -> bool:
        outbox = self._peers[peer].outbox
        try:
            progress = outbox.flush()
        except zmq.ZMQError as error:
            outbox.clear()
            self._unreachable(peer, error)
            progress = False
        if not outbox:
            self._backlog.discard(peer)
        return progress
