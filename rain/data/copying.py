"""Copies between open files inside the kernel, by reference where the file system can."""

from __future__ import annotations

import errno
import os

_STEP_BYTES = 1 << 30
_BUFFER_BYTES = 1 << 20

#: `copy_file_range` between these two files does not work here; bytes are read and written instead.
_UNSUPPORTED = {errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.EBADF}


def copy_file(source: int, target: int) -> int:
    """Appends the bytes from `source`'s position to its end to `target`; returns how many. Both are descriptors."""
    copied = 0
    while True:
        try:
            count = os.copy_file_range(source, target, _STEP_BYTES)
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                break
            raise
        if count == 0:
            # Files of some file systems (/proc) end at once for this call but not for `read`.
            break
        copied += count
    while data := os.read(source, _BUFFER_BYTES):
        write_all(target, data)
        copied += len(data)
    return copied


def write_all(target: int, data: bytes) -> None:
    """Writes all the bytes, in as many calls as it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]
