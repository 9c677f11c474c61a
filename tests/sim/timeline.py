"""Virtual time: actions in the order of their time, and links that carry messages with delays."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Generic, TypeVar

M = TypeVar("M")

Action = Callable[[], None]


class Timeline:
    """Time that jumps from action to action."""

    def __init__(self) -> None:
        self.now = 1.0
        self._actions: list[tuple[float, int, Action]] = []
        self._count = 0

    def after(self, delay_s: float, action: Action) -> None:
        """Does it after this time."""
        self._count += 1
        heappush(self._actions, (self.now + delay_s, self._count, action))

    def run(self, limit_s: float, until: Callable[[], bool]) -> bool:
        """Acts until `until` is true; False when the limit came first."""
        end = self.now + limit_s
        while not until():
            if not self._actions or self._actions[0][0] > end:
                self.now = end
                return until()
            self.now, _, action = heappop(self._actions)
            action()
        return True


class Link(Generic[M]):
    """One direction of a connection: first in, first out; what is under way is lost when it is cut."""

    def __init__(self, timeline: Timeline, random: Random, delay_s: float, deliver: Callable[[M], None]) -> None:
        self._timeline = timeline
        self._random = random
        self._delay_s = delay_s
        self._deliver = deliver
        self._last = 0.0
        self.is_cut = False

    def send(self, message: M) -> None:
        """The message arrives later, unless the link is cut before."""
        now = self._timeline.now
        self._last = max(self._last, now + self._delay_s * self._random.uniform(0.5, 1.5))

        def arrive() -> None:
            if not self.is_cut:
                self._deliver(message)

        self._timeline.after(self._last - now, arrive)

    def cut(self) -> None:
        """Nothing arrives any more."""
        self.is_cut = True
