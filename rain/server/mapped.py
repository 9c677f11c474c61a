"""Bytes that memory has no room for: copied into a file without a name, which the kernel reads where they are used."""

from __future__ import annotations

import mmap
import tempfile
from pathlib import Path

from rain.protocol.columns import Column

#: Less is not worth a file and a mapping, of which a process may have some ten thousand.
MIN_BYTES = 256 << 10


def mapped_copy(data: Column, folder: Path) -> Column:
    """The same bytes in a file of `folder`, which is gone when nobody has them any more. Raises OSError."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(data)
        file.flush()
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
