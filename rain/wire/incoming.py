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


async def stream_to_file(exchange: Exchange, session: int, entry: Entry, path: Path) -> bool:
    """Reads the whole object into `path`; False, and nothing is left, when it could not be had or written."""
    try:
        free = shutil.disk_usage(path.parent).free
        if entry.size > free:
            _log.warning("%s has %d bytes, but only %d are free in %s", path.name, entry.size, free, path.parent)
            return False
        fd, name = tempfile.mkstemp(prefix=PART_PREFIX, dir=path.parent)
    except OSError as error:
        _log.warning("%s cannot be made: %s", path, error)
        return False
    part = Path(name)
    try:
        if not await _read_ranges(exchange, session, entry, fd):
            return False
        os.fchmod(fd, OBJECT_MODE)
        part.rename(path)
        return True
    except OSError as error:
        _log.warning("%s cannot be written: %s", path, error)
        return False
    finally:
        os.close(fd)
        part.unlink(missing_ok=True)


async def _read_ranges(exchange: Exchange, session: int, entry: Entry, fd: int) -> bool:
    """Keeps a window of ranges in flight until all are written; False as soon as one is missing."""
    offsets = iter(range(0, entry.size, CHUNK_BYTES))
    whole = True

    async def take_turns() -> None:
        nonlocal whole
        for offset in offsets:
            length = min(CHUNK_BYTES, entry.size - offset)
            data = await exchange.get_range(session, entry.object, offset, length) if whole else None
            if data is None:
                whole = False
                return
            _write_all(fd, data, offset)

    async with asyncio.TaskGroup() as window:
        for _ in range(min(CHUNKS_IN_FLIGHT, -(-entry.size // CHUNK_BYTES))):
            window.create_task(take_turns())
    return whole


def _write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Raises OSError when the disk is full."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written
