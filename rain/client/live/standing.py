"""How a session stands, as its server told it: differences put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rain.protocol.feed import BusyWorker, FeedNews, FirstFailure, GroupNews, SaidByTask


@dataclass(slots=True)
class SessionStanding:
    """One session; `learn` takes what its server says."""

    session: int
    name: str | None
    #: In the order in which the names came; None: all names that were too many.
    groups: dict[str | None, GroupNews] = field(default_factory=dict)
    workers: tuple[BusyWorker, ...] = ()
    n_more_workers: int = 0
    failures: tuple[FirstFailure, ...] = ()
    said: tuple[SaidByTask, ...] = ()
    #: Seconds in which there were unfinished tasks.
    elapsed_s: float = 0.0
    is_at_rest: bool = True
    #: Why the session failed; why tasks wait for a worker that is not there.
    failed: str = ""
    impossible: str = ""
    #: Why nothing more will be heard of it: "closed" or "lost", and in words. Empty: it goes on.
    over: str = ""
    over_text: str = ""

    def learn(self, news: FeedNews) -> None:
        """What has changed."""
        self.elapsed_s, self.is_at_rest = news.elapsed_s, news.is_at_rest
        self.groups.update((group.name, group) for group in news.groups)
        if news.workers is not None:
            self.workers = news.workers
        self.n_more_workers = news.n_more_workers
        if news.failures is not None:
            self.failures = news.failures
        if news.said is not None:
            self.said = news.said
        if news.failed is not None:
            self.failed = news.failed
        if news.impossible is not None:
            self.impossible = news.impossible

    def total(self) -> GroupNews:
        """All groups together."""
        return added(None, self.groups.values())

    @property
    def state(self) -> str:
        """In a word: "closed", "lost", "failed", "at work", "done", or "empty"."""
        if self.over or self.failed:
            return self.over or "failed"
        if not self.is_at_rest:
            return "at work"
        return "done" if self.groups else "empty"


def added(name: str | None, groups: Iterable[GroupNews]) -> GroupNews:
    """Several groups as one of this name."""
    rows = [
        (each.waiting, each.running, each.finished, each.failed, each.cancelled, each.n_bytes, each.work_us)
        for each in groups
    ]
    waiting, running, finished, failed, cancelled, n_bytes, work_us = (
        map(sum, zip(*rows, strict=True)) if rows else [0] * 7
    )
    return GroupNews(name, waiting, running, finished, failed, cancelled, n_bytes, work_us)


def n_tasks(group: GroupNews) -> int:
    """How many tasks it has."""
    return group.waiting + group.running + group.finished + group.failed + group.cancelled


def by_state(group: GroupNews) -> dict[str | None, int]:
    """How many of its tasks are in which state."""
    return {
        "waiting": group.waiting,
        "running": group.running,
        "finished": group.finished,
        "failed": group.failed,
        "cancelled": group.cancelled,
    }
