"""Which threads made what a session has built: what one thread submits, another may not have done with.

A thread makes a task, and another one submits before the first has said `.keep()`. What was made by other threads that
still live is therefore lent to the server, which keeps it until its maker submits too, or has ended.
"""

from __future__ import annotations

import threading
from itertools import pairwise


class Makers:
    """Runs of objects by the thread that made them; not thread-safe, its graph holds the lock."""

    __slots__ = ("_lent", "_runs", "current")

    def __init__(self) -> None:
        #: The thread that made the last object; 0 after a submit.
        self.current = 0
        #: Of what is not submitted: a thread, and the first object that it made.
        self._runs: list[tuple[int, int]] = []
        #: Submitted by others, by the thread that made it.
        self._lent: dict[int, list[range]] = {}

    def change(self, maker: int, first_object: int) -> None:
        """Another thread goes on with the graph at this object."""
        self.current = maker
        self._runs.append((maker, first_object))

    def to_lend(self, end: int) -> list[tuple[int, range]]:
        """What this thread would submit of others: who made it, which objects; `end` is the next object's number."""
        own = threading.get_ident()
        if all(maker == own for maker, _ in self._runs):
            return []
        living = _living()
        runs = pairwise([*self._runs, (0, end)])
        return [(maker, range(first, after)) for (maker, first), (_, after) in runs if maker != own and maker in living]

    def submitted(self, lent: list[tuple[int, range]]) -> None:
        """Everything was submitted, and these runs are lent."""
        for maker, run in lent:
            self._lent.setdefault(maker, []).append(run)
        self._runs.clear()
        self.current = 0

    def taken_back(self) -> list[range]:
        """Ends the loans of this thread, which submits, and of those that have ended; returns them."""
        if not self._lent:
            return []
        over = {threading.get_ident(), *(self._lent.keys() - _living())}
        return [run for maker in over for run in self._lent.pop(maker, ())]


def _living() -> set[int | None]:
    return {thread.ident for thread in threading.enumerate()}
