"""Watching a session: how its tasks stand by name, told as differences; part of the conversation in `protocol.client`.

Whoever watches asks again after each answer, so a client that is slow is told less often, and one that is gone nothing.
"""

from __future__ import annotations

import msgspec

#: An answer follows the one before not earlier than after so many seconds.
MIN_INTERVAL_S = 0.2
#: So many distinct names are told apart, the first ones; all later ones count as one group.
MAX_GROUPS = 500
#: So many of each are told: workers, tasks that failed first, running tasks that said how far they are.
MAX_WORKERS = 64
MAX_FAILURES = 5
MAX_SAID = 5
#: Characters of a name, and of the texts of a failure and of an output.
MAX_NAME = 200
MAX_TEXT = 2000


class WatchSession(msgspec.Struct, frozen=True, tag="watch"):
    """Answered by `FeedNews`: the first one at once, those after another as soon as there is a difference.

    Given up by `Unwait`.
    """

    request: int
    session: int
    #: At least so long after the answer before; more where counting takes long.
    interval_s: float = MIN_INTERVAL_S
    #: Above 0: the request whose answer is known; the answer is what has changed since.
    after: int = 0
    #: No other one follows.
    once: bool = False


class GroupNews(msgspec.Struct, frozen=True, array_like=True):
    """The tasks of one name."""

    #: The name of their spec, else its kind; None: all names that are too many.
    name: str | None
    waiting: int = 0
    running: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    #: Of all results that were reported, and microseconds of work of their tasks.
    n_bytes: int = 0
    work_us: int = 0


class BusyWorker(msgspec.Struct, frozen=True, array_like=True):
    """A worker, and how many tasks of all sessions were given to it and are not done."""

    worker: int
    cpus: float
    n_tasks: int


class FirstFailure(msgspec.Struct, frozen=True, array_like=True):
    """A task that failed."""

    task: int
    name: str
    message: str
    traceback: str
    #: Tasks that did not run because of it.
    n_followers: int


class SaidByTask(msgspec.Struct, frozen=True, array_like=True):
    """The last words of a task: its progress, or the end of its output."""

    task: int
    name: str
    text: str
    #: From 0 to 1; None: it is output.
    fraction: float | None = None


class FeedNews(msgspec.Struct, frozen=True, tag="feed_news", kw_only=True, omit_defaults=True):
    """What has changed since the answer before; None and what is not there have not."""

    request: int
    #: Seconds in which the session had unfinished tasks, all together.
    elapsed_s: float
    #: Nothing is unfinished.
    is_at_rest: bool
    groups: tuple[GroupNews, ...] = ()
    workers: tuple[BusyWorker, ...] | None = None
    #: Workers that are not among them.
    n_more_workers: int = 0
    failures: tuple[FirstFailure, ...] | None = None
    said: tuple[SaidByTask, ...] | None = None
    #: Why the session failed; why tasks wait for a worker that is not there. Empty: it is not so.
    failed: str | None = None
    impossible: str | None = None
