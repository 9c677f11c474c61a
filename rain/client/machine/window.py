"""How much of a session's work may be unfinished before a submit has to wait."""

from __future__ import annotations

from collections import deque

#: Tasks that were sent and are not done.
MAX_UNFINISHED_TASKS = 2_000_000
#: Bytes of arguments and constants of submits that are not done.
MAX_UNFINISHED_BYTES = 1 << 30


class SubmitWindow:
    """Counts what one session sent and what is done of it.

    The server reports numbers of tasks; the bytes of a submit count until as many tasks are done as it and all submits
    before it had.
    """

    __slots__ = ("_done", "_sent", "_submits", "_unfinished_bytes")

    def __init__(self) -> None:
        self._sent = 0
        self._done = 0
        self._unfinished_bytes = 0
        #: Per submit: tasks sent up to and with it, and its bytes.
        self._submits: deque[tuple[int, int]] = deque()

    @property
    def is_open(self) -> bool:
        """Whether another submit may be sent; a single one may be larger than the window."""
        return self._sent - self._done <= MAX_UNFINISHED_TASKS and self._unfinished_bytes <= MAX_UNFINISHED_BYTES

    def attached(self, n_tasks: int, n_done: int) -> None:
        """Another client sent so many tasks before."""
        self._sent = n_tasks
        self._done = n_done

    def sent(self, n_tasks: int, n_bytes: int) -> None:
        """A submit leaves."""
        self._sent += n_tasks
        self._unfinished_bytes += n_bytes
        self._submits.append((self._sent, n_bytes))

    def done(self, n_done: int) -> None:
        """The server says how many tasks of the session are done, over all submits."""
        self._done = max(self._done, min(n_done, self._sent))
        while self._submits and self._submits[0][0] <= self._done:
            self._unfinished_bytes -= self._submits.popleft()[1]
