"""What the worker tells the server: results, completed with their bytes, travel together and in order with the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from rain.core.note import TaskNote, note_bytes
from rain.protocol.codec import encode
from rain.protocol.worker import Done, FromWorker
from rain.worker.machine.effects import ReportDone
from rain.worker.machine.numbers import neighbours
from rain.worker.store import ObjectStore

#: Results wait at most this long for others to travel with.
HOLD_S = 0.001
#: Beyond this many bytes nothing is gained by waiting.
HOLD_BYTES = 1 << 20
#: Of a task in the column of tasks.
TASK_BYTES = 4


@dataclass(slots=True)
class _Joined:
    """Several reports of one session, one after the other."""

    task: bytearray = field(default_factory=bytearray)
    attempt: bytearray = field(default_factory=bytearray)
    duration_us: bytearray = field(default_factory=bytearray)
    size: bytearray = field(default_factory=bytearray)
    inline: bytearray = field(default_factory=bytearray)
    data: bytearray = field(default_factory=bytearray)
    content_types: list[tuple[int, int, str]] = field(default_factory=list)
    notes: list[tuple[int, TaskNote]] = field(default_factory=list)
    object_users: list[tuple[int, bytes]] = field(default_factory=list)

    def add(self, done: Done, parts: list[bytes | memoryview]) -> None:
        n_outputs, n_tasks = len(self.inline), len(self.task) // TASK_BYTES
        if done.notes:
            self.notes += [(n_tasks + position, note) for position, note in done.notes]
        if done.object_users:
            self.object_users += [(n_outputs + position, user) for position, user in done.object_users]
        self.content_types += [(n_outputs + position, count, name) for position, count, name in done.content_types]
        self.task += done.task
        self.attempt += done.attempt
        self.duration_us += done.duration_us
        self.size += done.size
        self.inline += done.inline
        for part in parts:
            self.data += part

    def message(self, session: int) -> Done:
        return Done(
            session=session,
            task=memoryview(self.task),
            attempt=memoryview(self.attempt),
            duration_us=memoryview(self.duration_us),
            size=memoryview(self.size),
            inline=memoryview(self.inline),
            data=memoryview(self.data),
            content_types=tuple(self.content_types),
            notes=tuple(self.notes),
            object_users=tuple(self.object_users),
        )


class Reports:
    """The way out to the server; `send` takes one encoded message."""

    def __init__(self, store: ObjectStore, send: Callable[[bytes], None]) -> None:
        self._store = store
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._held: dict[int, _Joined] = {}
        self._held_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, message: FromWorker) -> None:
        """Sends a message after everything that was ordered before it."""
        self.flush()
        self._send(encode(message))

    def report(self, order: ReportDone) -> None:
        """Sends results now where that is urgent, else within a millisecond."""
        # Taken now: the machine may drop the objects in its next breath.
        parts = self._inline_results(order)
        if order.urgent and not self._held:
            self._send(encode(msgspec.structs.replace(order.done, data=memoryview(b"".join(parts)))))
            return
        joined = self._held.get(order.done.session)
        if joined is None:
            joined = self._held[order.done.session] = _Joined()
        joined.add(order.done, parts)
        self._held_bytes += sum(map(len, parts)) + len(order.done.task) + _attached_bytes(order.done)
        if order.urgent or self._held_bytes > HOLD_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(HOLD_S, self.flush)

    def flush(self) -> None:
        """Sends what was held back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._held:
            return
        held, self._held = self._held, {}
        self._held_bytes = 0
        for session, joined in held.items():
            self._send(encode(joined.message(session)))

    def _inline_results(self, order: ReportDone) -> list[bytes | memoryview]:
        session, inline = order.done.session, bytes(order.done.inline)
        parts: list[bytes | memoryview] = []
        at = 0
        for first, count in neighbours(order.objects):
            flags = inline[at : at + count]
            at += count
            if 0 not in flags:
                parts += self._store.small(session, first, count)
            else:
                for obj, is_inline in zip(range(first, first + count), flags, strict=True):
                    parts += self._store.small(session, obj, is_inline)
        return parts


def _attached_bytes(done: Done) -> int:
    """About how much the notes of the tasks and what is attached to their outputs add to a message."""
    if not done.notes and not done.object_users:
        return 0
    return sum(note_bytes(note) for _, note in done.notes) + sum(len(user) for _, user in done.object_users)
