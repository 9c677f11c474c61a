"""Which process a pid means: pids are used again, so a process is named by its pid and the time it started."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

#: After the command in /proc/PID/stat: the state first, flags seventh, the start time (clock ticks since the boot)
#: twentieth.
_STATE, _FLAGS, _START = 0, 6, 19
#: PF_EXITING of the kernel: set before the files of a dying process are closed, so whoever sees a pipe end knows.
_EXITING = 0x4


def process_start_time(pid: int) -> float | None:
    """When this process started, in seconds since the boot where the system tells; None if it does not run.

    Unlike a time of day it does not change when the clock is set.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _creation_time(pid)
    fields = stat[stat.rindex(b")") + 2 :].split()
    if fields[_STATE] in (b"Z", b"X") or int(fields[_FLAGS]) & _EXITING:
        return None
    return int(fields[_START]) / os.sysconf("SC_CLK_TCK")


def _creation_time(pid: int) -> float | None:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
