"""How much of the memory that a worker was given its small objects may take: what the processes of tasks leave of it.

Large objects are files; how much of those is in memory is the kernel's business.
"""

from __future__ import annotations

from pathlib import Path

from rain.deploy.process_tree import children

#: Of the worker's memory, for small objects and executors together; the rest is for the worker itself, and for growing.
OBJECTS_SHARE = 0.6
#: Small objects get this much whatever executors use, and however little a worker was given: they would be written and
#: read again and again.
LEAST_SHARE = 0.1
LEAST_BYTES = 8 << 20


class MemoryWatch:
    """Looks at a worker's executors, which are descendants of its forkserver, and says what is left for objects."""

    def __init__(self, memory_bytes: int, forkserver: int) -> None:
        self._memory_bytes = memory_bytes
        self._forkserver = forkserver

    def object_bytes(self) -> int:
        """What small objects may come to now."""
        least = max(LEAST_BYTES, round(self._memory_bytes * LEAST_SHARE))
        return max(least, round(self._memory_bytes * OBJECTS_SHARE) - self._executor_bytes())

    def _executor_bytes(self) -> int:
        """Memory of all executors and what they started that they do not share with the forkserver, or with files."""
        inherited = _anonymous_bytes(self._forkserver)
        found = 0
        pending = children(self._forkserver)
        while pending:
            pid = pending.pop()
            found += max(0, _anonymous_bytes(pid) - inherited)
            pending |= children(pid)
        return found


def _anonymous_bytes(pid: int) -> int:
    """Memory of a process that no file has; 0 where that cannot be known, or the process is gone."""
    try:
        with Path(f"/proc/{pid}/status").open() as lines:
            for line in lines:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) << 10
    except (OSError, ValueError):
        pass
    return 0
