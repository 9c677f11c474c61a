"""A large object on its way in: ranges written where they belong, and a file that is visible only when it is whole."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
import time
from concurrent.futures import Executor
from pathlib import Path

import msgspec

from rain.protocol.transfer import CHUNK_BYTES, CHUNKS_IN_FLIGHT, Entry
from rain.wire.endpoint import Frame
from rain.wire.exchange import Exchange

#: A temporary name begins with this, so that nobody takes it for an object.
PART_PREFIX = ".part-"
#: Objects are shared by links and mappings: nobody writes to them any more.
OBJECT_MODE = 0o444
#: How far back the time of a file is set that is whole.
_AGE_NS = 1_000_000_000


class PartFile:
    """A file under a temporary name beside `path`, in order to get that name when it is whole. Raises OSError."""

    def __init__(self, path: Path, size: int) -> None:
        free = shutil.disk_usage(path.parent).free
        if size > free:
            raise OSError(f"it has {size} bytes, but only {free} are free in {path.parent}")
        self._path = path
        self._fd, name = tempfile.mkstemp(prefix=PART_PREFIX, dir=path.parent)
        self._part = Path(name)
        # Who closes must not take the descriptor away from a thread that writes.
        self._lock = threading.Lock()
        self._is_closed = False

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Writes all of the data at this place, unless the file was closed. Raises OSError when the disk is full."""
        view = memoryview(data)
        with self._lock:
            while view and not self._is_closed:
                written = os.pwrite(self._fd, view, offset)
                view = view[written:]
                offset += written

    def publish(self) -> None:
        """Makes the file read-only and gives it its name."""
        os.fchmod(self._fd, OBJECT_MODE)
        # So that a write to it, which should not be, shows in its time however coarse the file system's clock is.
        then = time.time_ns() - _AGE_NS
        os.utime(self._fd, ns=(then, then))
        self._part.rename(self._path)

    def close(self) -> None:
        """Leaves nothing behind but what was published."""
        with self._lock:
            self._is_closed = True
            os.close(self._fd)
        self._part.unlink(missing_ok=True)


class Unwritten(msgspec.Struct, frozen=True):
    """An object that its holder has, and that could not be written here; `reason` in words."""

    reason: str


async def stream_to_file(exchange: Exchange, session: int, entry: Entry, path: Path, writer: Executor) -> bool:
    """Reads the whole object into `path`; False, and nothing is left, when it could not be had.

    `writer`: the thread in which it is written. Raises OSError, and nothing is left, when it cannot be.
    """
    part = PartFile(path, entry.size)
    try:
        whole = await _read_ranges(exchange, session, entry, part, writer)
        if whole:
            part.publish()
        return whole
    finally:
        part.close()


async def _read_ranges(exchange: Exchange, session: int, entry: Entry, part: PartFile, writer: Executor) -> bool:
    """Keeps a window of ranges in flight until all are written; False when one is missing. Raises OSError."""
    loop = asyncio.get_running_loop()
    offsets = iter(range(0, entry.size, CHUNK_BYTES))
    missing = False

    async def write(data: Frame, offset: int) -> None:
        await loop.run_in_executor(writer, part.write, data, offset)

    async def take_turns() -> None:
        nonlocal missing
        for offset in offsets:
            length = min(CHUNK_BYTES, entry.size - offset)
            if missing or not await exchange.copy_range(session, entry.object, offset, length, write):
                missing = True
                return

    try:
        async with asyncio.TaskGroup() as window:
            for _ in range(min(CHUNKS_IN_FLIGHT, -(-entry.size // CHUNK_BYTES))):
                window.create_task(take_turns())
    except* OSError as errors:
        raise errors.exceptions[0] from None
    return not missing
