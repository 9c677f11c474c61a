"""A large object on its way in: ranges written where they belong, and a file that is visible only when it is whole."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from pathlib import Path

from rain.protocol.transfer import CHUNK_BYTES, CHUNKS_IN_FLIGHT, Entry
from rain.wire.exchange import Exchange

_log = logging.getLogger("rain.wire.incoming")

#: A temporary name begins with this, so that nobody takes it for an object.
PART_PREFIX = ".part-"
#: Objects are shared by links and mappings: nobody writes to them any more.
OBJECT_MODE = 0o444


class PartFile:
    """A file under a temporary name beside `path`, in order to get that name when it is whole. Raises OSError."""

    def __init__(self, path: Path, size: int) -> None:
        free = shutil.disk_usage(path.parent).free
        if size > free:
            raise OSError(f"it has {size} bytes, but only {free} are free in {path.parent}")
        self._path = path
        self._fd, name = tempfile.mkstemp(prefix=PART_PREFIX, dir=path.parent)
        self._part = Path(name)

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Writes all of the data at this place. Raises OSError when the disk is full."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, offset)
            view = view[written:]
            offset += written

    def publish(self) -> None:
        """Makes the file read-only and gives it its name."""
        os.fchmod(self._fd, OBJECT_MODE)
        self._part.rename(self._path)

    def close(self) -> None:
        """Leaves nothing behind but what was published."""
        os.close(self._fd)
        self._part.unlink(missing_ok=True)


async def stream_to_file(exchange: Exchange, session: int, entry: Entry, path: Path) -> bool:
    """Reads the whole object into `path`; False, and nothing is left, when it could not be had or written."""
    try:
        part = PartFile(path, entry.size)
        try:
            whole = await _read_ranges(exchange, session, entry, part)
            if whole:
                part.publish()
            return whole
        finally:
            part.close()
    except OSError as error:
        _log.warning("object not received: path=%s: %s", path, error)
        return False


async def _read_ranges(exchange: Exchange, session: int, entry: Entry, part: PartFile) -> bool:
    """Keeps a window of ranges in flight until all are written; False when one is missing. Raises OSError."""
    offsets = iter(range(0, entry.size, CHUNK_BYTES))
    missing = False

    async def take_turns() -> None:
        nonlocal missing
        for offset in offsets:
            length = min(CHUNK_BYTES, entry.size - offset)
            data = None if missing else await exchange.get_range(session, entry.object, offset, length)
            if data is None:
                missing = True
                return
            part.write(data, offset)

    try:
        async with asyncio.TaskGroup() as window:
            for _ in range(min(CHUNKS_IN_FLIGHT, -(-entry.size // CHUNK_BYTES))):
                window.create_task(take_turns())
    except* OSError as errors:
        raise errors.exceptions[0] from None
    return not missing
