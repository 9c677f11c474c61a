"""The way from an executor to its worker: reports of the loop, and what a task says while it runs, from any thread."""

from __future__ import annotations

import contextlib
import os
import threading
import time

from rain.core.note import TaskProgress
from rain.protocol.codec import encode
from rain.protocol.executor import Progressed
from rain.wire.pipe import BlockingPipe

#: The tasks of an executor are heard at most this often; of what they say in between, the last word goes out then.
PROGRESS_INTERVAL_S = 0.1


class Outlet:
    """Sends over the executor's pipe; costs nothing for tasks that say nothing."""

    def __init__(self, pipe: BlockingPipe) -> None:
        self._pipe = pipe
        #: Reentered by no one: a signal handler of the user's may interrupt whoever holds it.
        self._lock = threading.Lock()
        self._pid = os.getpid()
        #: Last words that did not go out yet, by session, task and attempt.
        self._unsent: dict[tuple[int, int, int], TaskProgress] = {}
        self._sent_s = float("-inf")
        self._timer: threading.Timer | None = None

    def send(self, data: bytes) -> None:
        """Sends a message; waits while the worker does not read. Raises OSError when it is gone."""
        with self._lock:
            self._pipe.send(data)

    def say(self, session: int, task: int, attempt: int, progress: TaskProgress) -> None:
        """Sends how far a task is, now or a moment later; never waits for another thread, never fails."""
        if os.getpid() != self._pid:
            return  # A child that the task forked: the pipe is its parent's.
        self._unsent[session, task, attempt] = progress
        self._deliver()

    def withdraw(self, session: int, task: int, attempt: int) -> None:
        """The task ended: its last word goes with its report."""
        self._unsent.pop((session, task, attempt), None)

    def _deliver(self) -> None:
        wait_s = self._sent_s + PROGRESS_INTERVAL_S - time.monotonic()
        if wait_s > 0 or not self._lock.acquire(blocking=False):
            self._deliver_later(max(wait_s, PROGRESS_INTERVAL_S / 10))
            return
        try:
            self._sent_s = time.monotonic()
            # A worker that is gone will hear nothing; the loop finds out by itself. Other threads may withdraw.
            with contextlib.suppress(OSError, KeyError):
                while self._unsent:
                    (session, task, attempt), progress = self._unsent.popitem()
                    self._pipe.send(encode(Progressed(session, task, attempt, progress)))
        finally:
            self._lock.release()

    def _deliver_later(self, wait_s: float) -> None:
        if self._timer is not None:
            return
        timer = self._timer = threading.Timer(wait_s, self._time_is_up)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:
            self._timer = None  # No room for another thread: it goes out with the next word.

    def _time_is_up(self) -> None:
        self._timer = None
        if self._unsent:
            self._deliver()
