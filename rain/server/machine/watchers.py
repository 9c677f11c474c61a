"""Who watches which session, and what they were told; plain data, see `feed`."""

from __future__ import annotations

from dataclasses import dataclass, field

from rain.protocol.feed import FeedNews, GroupNews
from rain.server.machine.stage_counts import StageCounts


@dataclass(slots=True)
class Watcher:
    """One client that watches one session, and what it was told."""

    client: int
    #: Its last one.
    request: int
    interval_s: float
    once: bool
    #: That is not answered.
    asks: bool = True
    due_s: float = 0.0
    groups: dict[str | None, GroupNews] = field(default_factory=dict)
    news: FeedNews | None = None


@dataclass(slots=True)
class SessionFeed:
    """All who watch one session."""

    watchers: list[Watcher] = field(default_factory=list)
    counts: StageCounts = field(default_factory=StageCounts)
    #: Not before this time it is counted again, unless the session is at rest.
    rests_until_s: float = 0.0
