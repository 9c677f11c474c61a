"""A network in which each worker can send and receive so many bytes per second in all, shared fairly (max-min)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.scheduling.timeline import Timeline


@dataclass(eq=False)
class Flow:
    """An object on its way."""

    source: int
    target: int
    left: float
    done: Callable[[], None]
    rate: float = 0.0


class Network:
    """Full duplex links of equal bandwidth to one switch that is never the bottleneck."""

    def __init__(self, timeline: Timeline, bandwidth: float) -> None:
        """`bandwidth`: bytes per second of a worker, in each direction."""
        self._timeline = timeline
        self.bandwidth = bandwidth
        self._flows: list[Flow] = []
        self._settled_s = 0.0
        self._version = 0
        self._is_dirty = False
        #: Bytes that were moved.
        self.total = 0.0

    def send(self, source: int, target: int, size: float, done: Callable[[], None]) -> None:
        """Moves so many bytes, then calls `done`."""
        self._advance()
        self._flows.append(Flow(source, target, float(size), done))
        self.total += size
        self._plan()

    def _plan(self) -> None:
        """Rates are worked out once for all changes of one moment."""
        if not self._is_dirty:
            self._is_dirty = True
            self._timeline.after(0.0, self._replan)

    def _replan(self) -> None:
        self._is_dirty = False
        self._version += 1
        if not self._flows:
            return
        self._share()
        version = self._version
        delay_s = min(flow.left / flow.rate for flow in self._flows)
        self._timeline.after(delay_s, lambda: self._arrive(version))

    def _arrive(self, version: int) -> None:
        if version != self._version:
            return
        self._advance()
        arrived = [flow for flow in self._flows if flow.left <= 1e-3]
        self._flows = [flow for flow in self._flows if flow.left > 1e-3]
        for flow in arrived:
            flow.done()
        self._plan()

    def _advance(self) -> None:
        passed_s = self._timeline.now - self._settled_s
        self._settled_s = self._timeline.now
        if passed_s > 0.0:
            for flow in self._flows:
                flow.left = max(0.0, flow.left - flow.rate * passed_s)

    def _share(self) -> None:
        """Progressive filling: the tightest link gives all its flows an equal share, and so on with what is left."""
        links: dict[tuple[int, int], list[Flow]] = {}
        for flow in self._flows:
            links.setdefault((0, flow.source), []).append(flow)
            links.setdefault((1, flow.target), []).append(flow)
            flow.rate = 0.0
        room = dict.fromkeys(links, self.bandwidth)
        count = {link: len(flows) for link, flows in links.items()}
        while count:
            share = min(room[link] / n for link, n in count.items())
            tight = [link for link, n in count.items() if room[link] / n <= share * (1 + 1e-9)]
            for link in tight:
                for flow in links[link]:
                    if flow.rate:
                        continue
                    flow.rate = share
                    for end in ((0, flow.source), (1, flow.target)):
                        room[end] = max(0.0, room[end] - share)
                        count[end] -= 1
            count = {link: n for link, n in count.items() if n}
