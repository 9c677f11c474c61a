"""The bytes that stay at the server: arguments of tasks, constants, small results; the machine knows only their sizes.

A session has a room here from the moment its client is told that it is open. What comes with a submit or an upload is
taken before the machine sees the message; when the machine refuses it, the session fails and its room is closed in the
end. Called by the shell, and by the data endpoint as its source of objects.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path

import msgspec

from rain.core.errors import InvariantViolation, ProtocolViolation
from rain.core.ids import MAX_ID, object_name, session_name, task_name
from rain.protocol.client import MAX_TASKS_PER_PART, Submit, Upload
from rain.protocol.columns import Column, check_below, check_total, unpack
from rain.server.arguments import Arguments
from rain.server.mapped import MIN_BYTES, mapped_copy
from rain.server.small import SmallObjects
from rain.server.uploads import Uploads
from rain.wire.holder import Stored

_log = logging.getLogger("rain.server")

MIB = 1 << 20
GIB = 1 << 30

#: Arguments of one task; with its columns and inputs it must fit into one message to a worker.
MAX_ARGUMENT_BYTES = 40 * MIB


class StashLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each kind the sessions of one client may leave with the server."""

    #: Arguments, inline constants and small results.
    memory_bytes: int = 8 * GIB
    #: Of these, of all clients, in memory; what comes when there is more goes to files.
    resident_bytes: int = 1 * GIB
    #: Uploaded constants, on disk.
    disk_bytes: int = 1024 * GIB
    uploads: int = 100_000


class StashRefusal(Exception):
    """The stash cannot take this for its session; the text is for the session's user."""


class _SessionBytes:
    """What the stash holds for one session."""

    __slots__ = ("arguments", "content_types", "disk_bytes", "full", "owners", "small", "uploads")

    def __init__(self, session: int, folder: Path) -> None:
        #: Clients that were told that the session is open; only they bring anything.
        self.owners: set[int] = set()
        self.arguments = Arguments()
        self.uploads = Uploads(folder, session)
        #: Inline constants and small results.
        self.small = SmallObjects()
        self.disk_bytes = 0
        #: Of constants that have one.
        self.content_types: dict[int, str] = {}
        #: Something could not be taken: nothing is taken any more, the session was told that it failed.
        self.full = False

    @property
    def resident_bytes(self) -> int:
        return self.small.resident_bytes + self.arguments.resident_bytes

    @property
    def memory_bytes(self) -> int:
        return self.small.n_bytes + self.arguments.n_bytes

    def drop(self, obj: int) -> None:
        """Forget one object; one that is not here is fine."""
        self.small.drop(obj)
        if len(self.uploads):
            self.disk_bytes -= self.uploads.drop(obj)
        if self.content_types:
            self.content_types.pop(obj, None)


class Stash:
    """The bytes of all sessions; large constants are files in `folder`."""

    def __init__(self, folder: Path, limits: StashLimits | None = None) -> None:
        self._folder = folder
        self._limits = limits or StashLimits()
        self._rooms: dict[int, _SessionBytes] = {}

    def open(self, session: int, client: int) -> None:
        """The client was told that this session is open: what it brings for it is taken from now on."""
        room = self._rooms.get(session)
        if room is None:
            room = self._rooms[session] = _SessionBytes(session, self._folder)
        room.owners.add(client)

    def owners(self, session: int) -> set[int]:
        """The clients of a session that is open."""
        room = self._rooms.get(session)
        return set() if room is None else set(room.owners)

    def take_submit(self, client: int, submit: Submit) -> None:
        """Keep the arguments and inline constants of a part of a submit, all or nothing.

        What belongs to no open session of this client is ignored, the machine deals with it. Raises ProtocolViolation
        when the columns contradict one another, StashRefusal when the client leaves too much here.
        """
        room = self._room_of(client, submit.session)
        if room is None:
            return
        if not 0 <= submit.n_tasks <= MAX_TASKS_PER_PART or not 0 <= submit.first_task <= MAX_ID - submit.n_tasks:
            raise ProtocolViolation(
                f"submit: {submit.n_tasks} tasks from number {submit.first_task}; at most {MAX_TASKS_PER_PART} are in "
                f"one part, numbered below {MAX_ID}"
            )
        constants = _Constants(submit)
        for obj, size in constants.uploaded():
            if room.uploads.size(obj) != size:
                raise ProtocolViolation(f"submit: {object_name(submit.session, obj)} was not uploaded completely")
        room.arguments.check(submit.first_task, submit.n_tasks, submit.args_size, submit.args)
        self._check_largest(room, submit)
        self._check_memory(room, client, submit, len(submit.args) + len(submit.constant_data))
        mapped = self._mapped(submit.args)
        room.arguments.add(submit.first_task, submit.n_tasks, submit.args_size, submit.args, mapped=mapped)
        constants.keep_in(room, self._mapped(submit.constant_data))

    def take_upload(self, client: int, chunk: Upload, data: bytes | memoryview) -> None:
        """Keep a chunk of a large constant. Raises as `take_submit` does."""
        room = self._room_of(client, chunk.session)
        if room is None:
            return
        room.uploads.check(chunk, len(data))
        if room.uploads.begins(chunk):
            counted = room.uploads.restart(chunk)
            room.disk_bytes -= room.uploads.size(chunk.object) or 0 if counted is None else counted
            self._check_disk(room, client, chunk)
            room.disk_bytes += chunk.total
        try:
            room.uploads.add(chunk, data)
        except OSError as error:
            name = object_name(chunk.session, chunk.object)
            raise self._full(
                room, f"{name} cannot be stored at the server: {error.strerror} ({self._folder})"
            ) from error

    def refuses(self, session: int) -> bool:
        """The room is full, which its client was told: messages that bring more are not to be carried out."""
        room = self._rooms.get(session)
        return room is not None and room.full

    def arguments_of(self, session: int, tasks: array[int]) -> tuple[Column, Column]:
        """Sizes (u32 per task) and bytes of the arguments of these tasks, in their order."""
        return self._room(session).arguments.of(tasks)

    def small_objects(self, session: int, objects: Iterable[int]) -> list[bytes]:
        """The bytes of inline constants and small results."""
        small = self._room(session).small
        found: list[bytes] = []
        for obj in objects:
            data = small.get(obj)
            if data is None:
                raise InvariantViolation(f"{object_name(session, obj)} is not in the stash")
            found.append(data)
        return found

    def small_parts(self, session: int, objects: array[int]) -> list[bytes]:
        """The same, where several of them may be joined."""
        try:
            return self._room(session).small.parts(objects)
        except KeyError as error:
            raise InvariantViolation(f"{object_name(session, error.args[0])} is not in the stash") from None

    def source(self, session: int, obj: int) -> Stored | None:
        """An object for the data endpoint, None where it is not here. Small results have no content type here."""
        room = self._rooms.get(session)
        if room is None:
            return None
        content_type = room.content_types.get(obj)
        data = room.small.get(obj)
        if data is not None:
            return Stored(len(data), content_type, data)
        size = room.uploads.size(obj)
        return None if size is None else Stored(size, content_type, room.uploads.path(obj))

    def keep_results(
        self, session: int, objects: array[int], start: array[int], size: array[int], data: Column
    ) -> None:
        """Keep small results, copied out of the worker's report."""
        room = self._rooms.get(session)
        if room is not None:
            room.small.put(objects, start, size, data)

    def keep_stretch(self, session: int, first: int, size: array[int], data: Column) -> None:
        """Keep the small results of neighbouring objects, likewise."""
        room = self._rooms.get(session)
        if room is not None:
            room.small.put_stretch(first, size, data)

    def drop(self, session: int, objects: Iterable[int]) -> None:
        """These objects are not needed any more."""
        room = self._rooms.get(session)
        if room is not None:
            for obj in objects:
                room.drop(obj)

    def forget_tasks(self, session: int, tasks: array[int]) -> None:
        """The arguments of these tasks are not needed any more."""
        room = self._rooms.get(session)
        if room is not None:
            room.arguments.forget(tasks)

    def close(self, session: int) -> None:
        """Nothing of this session is needed any more."""
        room = self._rooms.pop(session, None)
        if room is not None:
            room.uploads.close()

    def close_all(self) -> None:
        """Remove everything."""
        for session in list(self._rooms):
            self.close(session)

    def used(self) -> tuple[int, int]:
        """Bytes in memory and on disk, of all sessions."""
        rooms = self._rooms.values()
        return sum(room.memory_bytes for room in rooms), sum(room.disk_bytes for room in rooms)

    def _mapped(self, data: Column) -> Column | None:
        """A copy of the bytes in a file where memory has no room for them; None where it has, or must have."""
        used = sum(room.resident_bytes for room in self._rooms.values())
        if len(data) < MIN_BYTES or used + len(data) <= self._limits.resident_bytes:
            return None
        try:
            return mapped_copy(data, self._folder)
        except OSError as error:
            _log.warning("%d bytes stay in memory, they cannot be written: %s", len(data), error)
            return None

    def _room(self, session: int) -> _SessionBytes:
        room = self._rooms.get(session)
        if room is None:
            raise InvariantViolation(f"session {session_name(session)} has no room in the stash")
        return room

    def _room_of(self, client: int, session: int) -> _SessionBytes | None:
        room = self._rooms.get(session)
        return room if room is not None and client in room.owners and not room.full else None

    def _rooms_of(self, client: int) -> list[_SessionBytes]:
        return [room for room in self._rooms.values() if client in room.owners]

    def _check_largest(self, room: _SessionBytes, submit: Submit) -> None:
        if len(submit.args) <= MAX_ARGUMENT_BYTES:
            return
        sizes = unpack("I", submit.args_size, "args_size")
        largest = max(sizes)
        if largest > MAX_ARGUMENT_BYTES:
            raise self._full(
                room,
                f"the arguments of {task_name(submit.session, submit.first_task + sizes.index(largest))} are "
                f"{largest / MIB:.0f} MiB, at most {MAX_ARGUMENT_BYTES // MIB} are sent with a task. Make the large "
                "value a data object: `blob(value, encode='pickle')`",
            )

    def _check_memory(self, room: _SessionBytes, client: int, submit: Submit, more: int) -> None:
        used = sum(other.memory_bytes for other in self._rooms_of(client)) + more
        if used > self._limits.memory_bytes:
            raise self._full(
                room,
                f"the server holds at most {self._limits.memory_bytes // MIB} MiB of arguments and small values for "
                f"one client, {session_name(submit.session)} would bring it to {used // MIB} MiB. Pass large values "
                "as `blob(value)`, and wait for tasks before you submit more",
            )

    def _check_disk(self, room: _SessionBytes, client: int, chunk: Upload) -> None:
        rooms = self._rooms_of(client)
        used = sum(other.disk_bytes for other in rooms) + chunk.total
        if used > self._limits.disk_bytes or sum(len(other.uploads) for other in rooms) >= self._limits.uploads:
            raise self._full(
                room,
                f"the server holds at most {self._limits.uploads:,} large constants and "
                f"{self._limits.disk_bytes // MIB} MiB of them for one client, "
                f"{object_name(chunk.session, chunk.object)} would be too much. Close sessions that you do not need, "
                "or put the data where workers can read it",
            )

    def _full(self, room: _SessionBytes, reason: str) -> StashRefusal:
        room.full = True
        return StashRefusal(reason)


class _Constants:
    """The constants that a part of a submit names, as columns that fit one another."""

    def __init__(self, submit: Submit) -> None:
        """Raises ProtocolViolation when they do not fit."""
        self.objects = unpack("I", submit.constants, "constants")
        n = len(self.objects)
        self.sizes = unpack("Q", submit.constant_size, "constant_size", n)
        self.inline = unpack("B", submit.constant_inline, "constant_inline", n)
        self.types = unpack("H", submit.constant_type, "constant_type", n)
        self.names = submit.content_types
        self.data = submit.constant_data
        check_below(self.inline, 2, "constant_inline")
        check_below(self.types, len(self.names), "constant_type")
        check_total(self._inline_sizes(), len(self.data), "constants")

    def uploaded(self) -> Iterator[tuple[int, int]]:
        """Objects, with their sizes, that were uploaded before."""
        if 0 in self.inline:
            rows = zip(self.objects, self.sizes, self.inline, strict=True)
            yield from ((obj, size) for obj, size, inline in rows if not inline)

    def keep_in(self, room: _SessionBytes, mapped: Column | None) -> None:
        """Copy the inline ones out of the message, unless they are mapped; uploaded ones are in use from now on."""
        for obj, _ in self.uploaded():
            room.uploads.named(obj)
        sizes = self._inline_sizes()
        objects = self.objects
        if 0 in self.inline:
            objects = array("I", (obj for obj, inline in zip(objects, self.inline, strict=True) if inline))
        if objects:
            starts = list(accumulate(sizes, initial=0))[:-1]
            room.small.put(objects, starts, sizes, self.data, mapped=mapped)
        for obj, number in zip(self.objects, self.types, strict=True):
            name = self.names[number]
            if name is not None:
                room.content_types[obj] = name

    def _inline_sizes(self) -> array[int]:
        if 0 not in self.inline:
            return self.sizes
        return array("Q", (size for size, inline in zip(self.sizes, self.inline, strict=True) if inline))
