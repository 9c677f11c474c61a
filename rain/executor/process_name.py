"""What `ps`, `top` and `rain ps` show an executor to be doing: the kernel's name of the process is its task's id."""

from __future__ import annotations

import os

#: Of a process that has no task.
IDLE = "rain-executor"
#: The kernel cuts longer ones off, which would make another id of them.
_MAX_BYTES = 15


class ProcessName:
    """The name of this process; setting it is one system call."""

    __slots__ = ("_file",)

    def __init__(self) -> None:
        self._file = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
        self.show(IDLE)

    def show(self, name: str) -> None:
        """Sets the name, unless it is too long for the kernel."""
        data = name.encode()
        if len(data) <= _MAX_BYTES:
            os.write(self._file, data)
