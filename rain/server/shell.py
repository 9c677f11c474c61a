"""The server's shell: frames become events, one call of the machine per batch, effects become frames, in order.

It decides nothing but who is listened to. All is called from one loop; nothing here waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from rain.core.errors import ProtocolViolation
from rain.protocol.client import ClientAlive, FromClient, Leave, SessionFailed, Submit, Upload, from_client_decoder
from rain.protocol.codec import encode
from rain.protocol.hello import Refusal, Versions, Welcome, WorkerHello
from rain.protocol.queries import QueryServer
from rain.protocol.worker import Stop, from_worker_decoder
from rain.server.faults import Faults
from rain.server.handshake import Refused, read_hello
from rain.server.machine.effects import Effect
from rain.server.machine.events import (
    ClientJoined,
    ClientLeft,
    ClientSaid,
    Event,
    Tick,
    WorkerJoined,
    WorkerLeft,
    WorkerSaid,
)
from rain.server.members import Member, Members, Standing
from rain.server.outgoing import OUR_MISTAKE, Frame, Outgoing, Transport
from rain.server.stash import Stash, StashRefusal

_log = logging.getLogger("rain.server")

#: Ticks come several times a second; after a pause of this length the server was kept from its work.
AWAY_AFTER_S = 3.0


class Machine(Protocol):
    """What decides; see `rain.server.machine`."""

    def handle(self, events: Sequence[Event], now: float) -> list[Effect]: ...


class ServerShell:
    """Everything between the control endpoint, the stash and the machine.

    `welcome`: the answer to every hello, with the number still 0. `versions` are looked up at the first hello.
    `on_terminate` is called when the machine ends the server.
    """

    def __init__(
        self,
        machine: Machine,
        stash: Stash,
        transport: Transport,
        *,
        clock: Callable[[], float],
        welcome: Welcome,
        versions: Callable[[], Versions],
        on_terminate: Callable[[], None],
    ) -> None:
        self._machine = machine
        self._stash = stash
        self._transport = transport
        self._clock = clock
        self._welcome = welcome
        self._versions = versions
        self._members = Members()
        #: Peers dropped in this batch: what else the batch has of them is not heard.
        self._refused: set[bytes] = set()
        self._outgoing = Outgoing(self._members, stash, transport, on_terminate)
        #: Our own mistakes, counted and logged.
        self.faults = Faults()
        self._seen_s: float | None = None
        #: How long this process was kept from its work, in all; see `_now`.
        self._away_s = 0.0

    def batch(self, batch: Sequence[tuple[bytes, str, Sequence[Frame]]]) -> None:
        """Messages with their senders and the senders' roles, as the control endpoint received them in one turn."""
        events: list[Event] = []
        self._refused.clear()
        for peer, role, frames in batch:
            if peer in self._refused:
                continue
            try:
                self._read(peer, role, frames, events)
            except ProtocolViolation as violation:
                self._dismiss(peer, str(violation), events)
            except Exception:  # our own mistake with this message: the others of the batch are heard all the same
                self.faults.message_failed()
                self._dismiss(peer, OUR_MISTAKE, events)
        self._step(events)

    def gone(self, peer: bytes) -> None:
        """A connection ended."""
        events: list[Event] = []
        self._left(peer, events)
        self._step(events)

    def tick(self) -> None:
        """Time passed; to be called several times a second."""
        self._step([Tick()])

    def stop_workers(self) -> None:
        """Tell all workers to end; the server is ending."""
        for worker in self._members.workers():
            self._transport.send(worker.peer, [encode(Stop())])

    def _read(self, peer: bytes, role: str, frames: Sequence[Frame], events: list[Event]) -> None:
        member = self._members.find(peer)
        if member is None:
            self._greet(peer, role, frames, events)
        elif member.standing is Standing.WORKER:
            events.append(WorkerSaid(member.number, from_worker_decoder.decode(_only(frames))))
        else:
            self._hear_client(member, frames, events)

    def _hear_client(self, member: Member, frames: Sequence[Frame], events: list[Event]) -> None:
        for message, payload in _messages(frames):
            self._hear_message(member, message, payload, events)

    def _hear_message(self, member: Member, message: FromClient, payload: Frame | None, events: list[Event]) -> None:
        if member.standing is Standing.MONITOR and not isinstance(message, QueryServer | ClientAlive | Leave):
            raise ProtocolViolation(f"a monitor may only look, it sent {type(message).__name__}")
        if isinstance(message, Submit | Upload):
            try:
                if isinstance(message, Submit):
                    self._stash.take_submit(member.number, message)
                elif payload is not None:
                    self._stash.take_upload(member.number, message, payload)
            except StashRefusal as refusal:
                _log.warning("session failed: %s: %s", member, refusal)
                self._transport.send(member.peer, [encode(SessionFailed(message.session, str(refusal)))])
            if self._stash.refuses(message.session):
                return
        events.append(ClientSaid(member.number, message))

    def _greet(self, peer: bytes, role: str, frames: Sequence[Frame], events: list[Event]) -> None:
        versions = self._versions()
        try:
            hello = read_hello(_only(frames), role, versions)
        except Refused as refusal:
            self._refuse(peer, str(refusal))
            return
        if isinstance(hello, WorkerHello):
            member = self._members.join(peer, Standing.WORKER)
        else:
            member = self._members.join(peer, Standing.MONITOR if role == "monitor" else Standing.CLIENT)
        welcome = msgspec.structs.replace(self._welcome, number=member.number, versions=versions)
        self._transport.send(peer, [encode(welcome)])
        _log.info("%s joined: host=%.100r pid=%d rain=%.100r", member, hello.host, hello.pid, hello.versions.rain)
        if isinstance(hello, WorkerHello):
            events.append(
                WorkerJoined(
                    worker=member.number,
                    host=hello.host,
                    pid=hello.pid,
                    offer=hello.offer,
                    data_host=hello.data_host,
                    data_port=hello.data_port,
                    data_key=hello.data_key,
                    log=hello.log,
                )
            )
        else:
            events.append(ClientJoined(member.number))

    def _left(self, peer: bytes, events: list[Event]) -> None:
        member = self._members.leave(peer)
        if member is None:
            return
        _log.info("%s left", member)
        is_worker = member.standing is Standing.WORKER
        events.append(WorkerLeft(member.number) if is_worker else ClientLeft(member.number))

    def _dismiss(self, peer: bytes, reason: str, events: list[Event]) -> None:
        """A peer broke the protocol: the machine hears that it is gone, and nobody else suffers."""
        self._refuse(peer, reason)
        self._left(peer, events)

    def _refuse(self, peer: bytes, reason: str) -> None:
        member = self._members.find(peer)
        _log.warning("dropped a peer: %s: %.1000r", member or "not a member", reason)
        self._transport.send(peer, [encode(Refusal(reason))])
        self._transport.drop(peer)
        self._refused.add(peer)

    def _step(self, events: list[Event]) -> None:
        if not events:
            return
        try:
            effects = self._machine.handle(events, self._now())
        except Exception:  # our own mistake: everybody is served on, and the sessions it touched are told
            self.faults.machine_failed(events)
            self._outgoing.tell_touched(events)
            self._outgoing.flush()
            return
        self.faults.remember(events)
        for effect in effects:
            try:
                self._outgoing.carry_out(effect)
            except Exception:  # our own mistake, too
                self.faults.effect_failed(effect)
                self._outgoing.tell_touched([effect])
        self._outgoing.flush()

    def _now(self) -> float:
        """The machine's time: it stands still while the server is kept from its work.

        Meanwhile the server asks nobody whether they are there, so their silence means nothing.
        """
        clock_s = self._clock()
        away_s = 0.0 if self._seen_s is None else clock_s - self._seen_s
        if away_s > AWAY_AFTER_S:
            _log.warning("nothing was heard or said for %.1f s: this machine is overloaded, or was suspended", away_s)
            self._away_s += away_s
        self._seen_s = clock_s
        return clock_s - self._away_s


def _messages(frames: Sequence[Frame]) -> list[tuple[FromClient, Frame | None]]:
    """What a client sent together, each with its payload: all of it is well-formed, or nothing is heard."""
    coming = iter(frames)
    messages: list[tuple[FromClient, Frame | None]] = []
    for frame in coming:
        message = from_client_decoder.decode(frame)
        payload = next(coming, None) if isinstance(message, Upload) else None
        if isinstance(message, Upload) and payload is None:
            raise ProtocolViolation("an Upload without its bytes")
        messages.append((message, payload))
    return messages


def _only(frames: Sequence[Frame]) -> Frame:
    if len(frames) != 1:
        raise ProtocolViolation(f"a message in {len(frames)} frames, expected 1")
    return frames[0]
