"""Virtual time: actions in the order of their time, those of one moment in the order in which they were planned."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

Action = Callable[[], None]


class Timeline:
    """Time, in seconds, that jumps from action to action."""

    def __init__(self) -> None:
        #: Machines take no time of zero.
        self.now = 1.0
        self._actions: list[tuple[float, int, Action]] = []
        self._count = 0

    def after(self, delay_s: float, action: Action) -> None:
        """Plans an action."""
        self._count += 1
        heappush(self._actions, (self.now + delay_s, self._count, action))

    def run(self, until: Callable[[], bool]) -> None:
        """Acts until `until` is true. Raises RuntimeError when nothing is left to do before that."""
        while not until():
            if not self._actions:
                raise RuntimeError(f"nothing happens any more at {self.now:.3f} s")
            self.now, _, action = heappop(self._actions)
            action()
