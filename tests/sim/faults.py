"""Which faults a seed has: each seed switches a random subset on, so that they also meet in unusual company."""

from __future__ import annotations

from dataclasses import dataclass, fields
from random import Random


@dataclass(frozen=True)
class Faults:
    """The faults of one run; rates are per run unless a name says otherwise."""

    worker_crashes: int = 0
    worker_silences: int = 0
    #: Connections on which nothing arrives any more in one direction, and nobody is told.
    half_open_links: int = 0
    worker_joins: int = 0
    executor_deaths: int = 0
    dead_on_start: float = 0.0
    raising_tasks: bool = False
    flaky_tasks: bool = False
    hanging_tasks: bool = False
    failing_fetches: float = 0.0
    full_disks: float = 0.0
    client_leaves: bool = False
    early_closes: bool = False
    cancels: bool = False
    unkeeps: bool = False
    repeated_news: float = 0.0
    slow_links: bool = False
    #: Faults happen in the first seconds only.
    over_after_s: float = 20.0

    def describe(self) -> str:
        """Those that are on."""
        on = [each.name for each in fields(self) if getattr(self, each.name) and each.name != "over_after_s"]
        return ", ".join(on) or "none"


def choose(random: Random) -> Faults:
    """The faults of a seed."""

    def on(share: float = 0.4) -> bool:
        return random.random() < share

    return Faults(
        worker_crashes=random.randint(1, 4) if on() else 0,
        worker_silences=random.randint(1, 3) if on(0.3) else 0,
        half_open_links=random.randint(1, 2) if on(0.2) else 0,
        worker_joins=random.randint(1, 3) if on() else 0,
        executor_deaths=random.randint(1, 12) if on() else 0,
        dead_on_start=0.3 if on(0.2) else 0.0,
        raising_tasks=on(0.3),
        flaky_tasks=on(0.3),
        hanging_tasks=on(0.2),
        failing_fetches=random.choice((0.02, 0.15)) if on() else 0.0,
        client_leaves=on(0.15),
        early_closes=on(0.2),
        cancels=on(0.25),
        unkeeps=on(0.4),
        repeated_news=random.choice((0.05, 0.5)) if on() else 0.0,
        slow_links=on(0.3),
        over_after_s=random.choice((3.0, 20.0, 40.0)),
        full_disks=random.choice((0.02, 0.1)) if on(0.2) else 0.0,
    )
