"""Waiting for the end of processes, our children or not: the kernel wakes us, so nobody looks again and again."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterable


def wait_ended(pids: Iterable[int], limit_s: float) -> list[int]:
    """Returns when all have ended, or after the limit; those that still run.

    A process has ended when it runs no more, whether or not its parent took notice (a zombie has ended).
    """
    deadline = time.monotonic() + limit_s
    still_running = []
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                still_running.append(pid)
        finally:
            os.close(fd)
    return still_running
