"""Carries out what the machine orders: messages out, bytes kept and let go, peers dropped. Decides nothing.

What a step says to one peer leaves together, in one message of several frames: each message wakes a thread of the
transport here, one there, and the peer, which costs more than what a small one says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, assert_never

import msgspec

from rain.protocol.client import RequestFailed, SessionAttached, SessionFailed, SessionOpened, ToClient
from rain.protocol.codec import encode
from rain.protocol.hello import Refusal
from rain.server.completion import complete_compute, complete_located, complete_wait
from rain.server.machine.effects import (
    CloseStash,
    DropClient,
    DropStashed,
    DropWorker,
    Effect,
    ForgetTasks,
    SendCompute,
    SendLocated,
    SendWaitDone,
    StashResults,
    StashStretch,
    TellClient,
    TellWorker,
    Terminate,
)
from rain.server.machine.events import ClientSaid, Event
from rain.server.members import Member, Members
from rain.server.stash import Stash

_log = logging.getLogger("rain.server")

Frame = bytes | memoryview

#: Messages that leave together: at most so many, of so many bytes in all; a larger one leaves at once and alone.
MAX_TOGETHER = 16
MAX_TOGETHER_BYTES = 32 << 10

OUR_MISTAKE = "the server made a mistake of its own; its log says more. Please report it"


class Transport(Protocol):
    """The control endpoint; see `rain.wire.peers.Peers`."""

    def send(self, peer: bytes, frames: list[Frame]) -> bool:
        """False when the peer is gone."""

    def drop(self, peer: bytes) -> None:
        """Listen to this peer no more."""


@dataclass(slots=True)
class _Letter:
    """What one peer is told when the step is over."""

    frames: list[Frame] = field(default_factory=list)
    size: int = 0


class Outgoing:
    """The server's hands. Whoever is gone meanwhile is sent nothing, and that is no error.

    `flush` is to be called when all effects of a step were carried out.
    """

    def __init__(self, members: Members, stash: Stash, transport: Transport, on_terminate: Callable[[], None]) -> None:
        self._members = members
        self._stash = stash
        self._transport = transport
        self._on_terminate = on_terminate
        #: By peer, in the order in which they were first spoken to.
        self._letters: dict[bytes, _Letter] = {}

    def carry_out(self, effect: Effect) -> None:
        """One effect, completely."""
        match effect:
            case SendCompute():
                for compute in complete_compute(self._stash, effect.compute):
                    self._send(self._members.worker(effect.worker), compute)
            case TellClient():
                self._tell_client(effect.client, effect.message)
            case TellWorker():
                self._send(self._members.worker(effect.worker), effect.message)
            case SendLocated():
                located = complete_located(self._stash, effect.session, effect.objects, effect.located)
                self._send(self._members.client(effect.client), located)
            case SendWaitDone():
                done = complete_wait(self._stash, effect.session, effect.done)
                self._send(self._members.client(effect.client), done)
            case StashResults():
                self._stash.keep_results(effect.session, effect.objects, effect.start, effect.size, effect.data)
            case StashStretch():
                self._stash.keep_stretch(effect.session, effect.first, effect.size, effect.data)
            case DropStashed():
                self._stash.drop(effect.session, effect.objects)
            case ForgetTasks():
                self._stash.forget_tasks(effect.session, effect.tasks)
            case CloseStash():
                self._stash.close(effect.session)
            case DropClient():
                self._drop(self._members.client(effect.client), effect.reason)
            case DropWorker():
                self._drop(self._members.worker(effect.worker), effect.reason)
            case Terminate():
                self._on_terminate()
            case _:
                assert_never(effect)

    def flush(self) -> None:
        """Sends what was said since the last time."""
        letters, self._letters = self._letters, {}
        for peer, letter in letters.items():
            self._transport.send(peer, letter.frames)

    def tell_touched(self, things: Iterable[Event | Effect]) -> None:
        """After a mistake of our own with these: whoever waits for an answer or a task of it learns that none comes."""
        sessions: dict[int, None] = {}
        for thing in things:
            message = getattr(thing, "message", thing)
            if isinstance(thing, ClientSaid):
                request = getattr(message, "request", None)
                if request is not None:
                    self._send(self._members.client(thing.client), RequestFailed(request, OUR_MISTAKE))
            message = getattr(message, "compute", message)
            session = getattr(message, "session", None)
            if isinstance(session, int):
                sessions[session] = None
        for session in sessions:
            for client in self._stash.owners(session):
                self._send(self._members.client(client), SessionFailed(session, OUR_MISTAKE))

    def _tell_client(self, client: int, message: ToClient) -> None:
        if isinstance(message, SessionOpened | SessionAttached):
            self._stash.open(message.session, client)
        self._send(self._members.client(client), message)

    def _send(self, member: Member | None, message: msgspec.Struct) -> None:
        if member is None:
            return
        data = encode(message)
        letter = self._letters.get(member.peer)
        if letter is not None and (len(letter.frames) >= MAX_TOGETHER or letter.size + len(data) > MAX_TOGETHER_BYTES):
            self._transport.send(member.peer, self._letters.pop(member.peer).frames)
            letter = None
        if len(data) > MAX_TOGETHER_BYTES:
            self._transport.send(member.peer, [data])
            return
        if letter is None:
            letter = self._letters[member.peer] = _Letter()
        letter.frames.append(data)
        letter.size += len(data)

    def _drop(self, member: Member | None, reason: str) -> None:
        if member is None:
            return
        _log.warning("dropped a peer: %s: %.1000r", member, reason)
        letter = self._letters.pop(member.peer, _Letter())
        self._transport.send(member.peer, [*letter.frames, encode(Refusal(reason))])
        self._transport.drop(member.peer)
        self._members.leave(member.peer)
