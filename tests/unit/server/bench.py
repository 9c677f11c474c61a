"""Messages and a shell without sockets, for the tests of the server's shell."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec

from rain.core.errors import ProtocolViolation
from rain.core.resources import Offer
from rain.protocol.client import Submit, to_client_decoder
from rain.protocol.codec import encode
from rain.protocol.columns import pack
from rain.protocol.hello import (
    PROTOCOL_VERSION,
    ClientHello,
    Refusal,
    Versions,
    Welcome,
    WorkerHello,
    answer_decoder,
)
from rain.protocol.worker import from_server_decoder
from rain.server.machine.effects import Effect
from rain.server.machine.events import Event
from rain.server.shell import ServerShell
from rain.server.stash import Stash, StashLimits

VERSIONS = Versions(rain="0.1.0", python="3.11.7", cloudpickle="3.1.2")

Constant = tuple[int, bytes, str | None]


def submit(
    session: int = 1,
    first_task: int = 0,
    args: Sequence[bytes] = (),
    inline: Sequence[Constant] = (),
    uploaded: Sequence[tuple[int, int, str | None]] = (),
) -> Submit:
    """A part of a submit: one task for each of `args`, and constants (number, bytes or size, content type)."""
    rows = [(obj, len(data), 1, name) for obj, data, name in inline] + [
        (o, size, 0, name) for o, size, name in uploaded
    ]
    names = list(dict.fromkeys(row[3] for row in rows))
    return Submit(
        session=session,
        first_spec=0,
        first_task=first_task,
        n_tasks=len(args),
        args_size=pack("I", map(len, args)),
        args=memoryview(b"".join(args)),
        first_object=0,
        n_objects=len(rows),
        constants=pack("I", (row[0] for row in rows)),
        constant_size=pack("Q", (row[1] for row in rows)),
        constant_inline=pack("B", (row[2] for row in rows)),
        constant_data=memoryview(b"".join(data for _, data, _ in inline)),
        constant_type=pack("H", (names.index(row[3]) for row in rows)),
        content_types=tuple(names),
    )


def numbers(*values: int) -> array[int]:
    """A column of 32-bit numbers."""
    return array("I", values)


def pieces(sizes: memoryview, data: memoryview) -> list[bytes]:
    """What a column of sizes and the bytes of all rows say, row by row."""
    lengths = array("I", bytes(sizes))
    starts = [0, *accumulate(lengths)]
    assert starts[-1] == len(data)
    return [bytes(data[start : start + length]) for start, length in zip(starts, lengths, strict=False)]


def client_hello(**changes: Any) -> bytes:
    """What a client says first."""
    fields: dict[str, Any] = {"protocol": PROTOCOL_VERSION, "versions": VERSIONS, "host": "here", "pid": 7}
    return encode(ClientHello(**{**fields, **changes}))


def worker_hello(**changes: Any) -> bytes:
    """What a worker says first."""
    fields: dict[str, Any] = {
        "protocol": PROTOCOL_VERSION,
        "versions": VERSIONS,
        "host": "there",
        "pid": 8,
        "offer": Offer(),
        "data_host": "127.0.0.1",
        "data_port": 4711,
        "data_key": "k" * 40,
    }
    return encode(WorkerHello(**{**fields, **changes}))


class FakeMachine:
    """Remembers the batches it is given; answers with the effects that a test puts into `answers`, batch by batch."""

    def __init__(self) -> None:
        self.batches: list[list[Event]] = []
        self.times: list[float] = []
        self.answers: list[list[Effect] | Exception] = []

    def handle(self, events: Sequence[Event], now: float) -> list[Effect]:
        """One batch."""
        self.batches.append(list(events))
        self.times.append(now)
        answer = self.answers.pop(0) if self.answers else []
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeTransport:
    """Remembers what is sent to whom, and who was dropped."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bytes]] = []
        self.dropped: list[bytes] = []
        self.n_sends = 0

    def send(self, peer: bytes, frames: list[bytes | memoryview]) -> bool:
        """Messages that leave together."""
        self.sent += [(peer, bytes(frame)) for frame in frames]
        self.n_sends += 1
        return True

    def drop(self, peer: bytes) -> None:
        """No more of this peer."""
        self.dropped.append(peer)


class ShellBench:
    """A shell between a fake transport and a fake machine; a test takes everything that happened, step by step."""

    def __init__(self, folder: Path, limits: StashLimits | None = None) -> None:
        self.machine = FakeMachine()
        self.transport = FakeTransport()
        self.stash = Stash(folder, limits)
        self.terminated = 0
        self.time_s = 12.5
        self.shell = ServerShell(
            self.machine,
            self.stash,
            self.transport,
            clock=lambda: self.time_s,
            welcome=Welcome(0, "c" * 32, Versions("", "", "")),
            versions=lambda: VERSIONS,
            on_terminate=self._terminate,
        )

    def say(self, peer: bytes, role: str, *messages: msgspec.Struct | bytes | list[bytes]) -> None:
        """These messages arrive in one batch."""
        self.shell.batch([(peer, role, _frames(message)) for message in messages])

    def join(self, peer: bytes, role: str) -> None:
        """This peer is welcomed; nothing else is left to look at."""
        self.say(peer, role, worker_hello() if role == "worker" else client_hello())
        assert any(isinstance(message, Welcome) for _, message in self.heard())
        self.machine.batches.clear()

    def events(self) -> list[Event]:
        """What the machine was given since the last look, in one list."""
        events = [event for batch in self.machine.batches for event in batch]
        self.machine.batches.clear()
        return events

    def heard(self) -> list[tuple[bytes, msgspec.Struct]]:
        """What peers were sent since the last look."""
        heard = [(peer, _decode(data)) for peer, data in self.transport.sent]
        self.transport.sent.clear()
        return heard

    def dropped(self) -> list[bytes]:
        """Who was dropped since the last look."""
        dropped = list(self.transport.dropped)
        self.transport.dropped.clear()
        return dropped

    def nothing_else(self) -> None:
        """No event, message or drop is left that the test did not look at."""
        assert (self.events(), self.heard(), self.dropped()) == ([], [], [])

    def _terminate(self) -> None:
        self.terminated += 1


def refusal(message: msgspec.Struct) -> str:
    """The text of a refusal."""
    assert isinstance(message, Refusal)
    return message.reason


def _frames(message: msgspec.Struct | bytes | list[bytes]) -> list[bytes]:
    if isinstance(message, list):
        return message
    return [message if isinstance(message, bytes) else encode(message)]


def _decode(data: bytes) -> msgspec.Struct:
    tag = msgspec.msgpack.decode(data)["type"]
    for decoder in (answer_decoder, to_client_decoder, from_server_decoder):
        try:
            return decoder.decode(data)
        except ProtocolViolation:
            continue  # It belongs to another conversation.
    raise AssertionError(f"no message of the server's: {tag}")
