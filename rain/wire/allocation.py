"""How the C library keeps memory that was freed; where data is passed on, giving it back to the system costs more."""

from __future__ import annotations

import ctypes

#: Source: mallopt(3), GNU C library.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
#: What is larger is mapped, and given back at once; the library allows no more.
MAPPED_FROM_BYTES = 32 << 20


def keep_freed_memory(kept_bytes: int) -> None:
    """Has freed memory used again, instead of given back and asked for anew, page by page, for every large value.

    `kept_bytes`: what each pool of the allocator may keep. Processes that are forked later do the same. Other C
    libraries than GNU's are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)
        mallopt(_M_TRIM_THRESHOLD, kept_bytes)
