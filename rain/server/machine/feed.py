"""Clients that watch sessions are told what has changed, a few times a second at most.

Who watches asks again after each answer; until then nothing is counted for it. Counting has a budget: after a
count that took long, the next one waits until the feed has had no more than its share of the server's time.
"""

from __future__ import annotations

import math
from itertools import islice

from rain.core.resources import UNIT
from rain.protocol.client import RequestFailed
from rain.protocol.feed import (
    MAX_FAILURES,
    MAX_SAID,
    MAX_TEXT,
    MAX_WORKERS,
    MIN_INTERVAL_S,
    BusyWorker,
    FeedNews,
    FirstFailure,
    GroupNews,
    SaidByTask,
    WatchSession,
)
from rain.server.machine.attempts import listed_progress
from rain.server.machine.groups import shown_name
from rain.server.machine.stage_counts import STRIDE, StageCounts
from rain.server.machine.stages import ASSIGNED, CANCELLED, FAILED, FINISHED, READY, WAITING
from rain.server.machine.state import ConnectedClient, ServerSession, ServerState
from rain.server.machine.watchers import SessionFeed, Watcher

#: The part of the server's time that counting and telling take at most.
SHARE = 0.01
#: One count takes about so long at most; what is left is counted by the next one.
BUDGET_S = 0.004
#: What it takes to compare and tell one group, one failure and the rest, in seconds.
GROUP_S = 3e-6
FAILURE_S = 5e-6
NEWS_S = 5e-5
MAX_INTERVAL_S = 60.0
#: So many tasks that ended last are asked for something that they printed.
MAX_NOTES = 20

_SHOWN = (ASSIGNED, FINISHED, FAILED, CANCELLED)


def watch(state: ServerState, client: ConnectedClient, session: ServerSession, message: WatchSession) -> None:
    """Answers when there is something new, the first time at once."""
    feed = state.feeds.get(session.number)
    if message.after:
        found = [each for each in feed.watchers if _is(each, client.number, message.after)] if feed is not None else []
        if not found or found[0].asks:
            text = f"There is no answered watch {message.after} that another one may follow."
            state.outbox.tell_client(client.number, RequestFailed(message.request, text))
            return
        found[0].request, found[0].asks, found[0].once = message.request, True, message.once
        return
    if feed is None:
        feed = state.feeds[session.number] = SessionFeed()
    # `not >=` is so of what is no number, too.
    interval_s = message.interval_s if message.interval_s >= MIN_INTERVAL_S else MIN_INTERVAL_S
    feed.watchers.append(Watcher(client.number, message.request, min(interval_s, MAX_INTERVAL_S), message.once))


def unwatch(state: ServerState, client: int, request: int | None = None) -> None:
    """Forgets a watch of this client, or all of them."""
    for number, feed in list(state.feeds.items()):
        feed.watchers = [
            each for each in feed.watchers if each.client != client or (request is not None and each.request != request)
        ]
        if not feed.watchers:
            del state.feeds[number]


def end_feed(state: ServerState, session: int, reason: str) -> None:
    """The session is no more."""
    feed = state.feeds.pop(session, None)
    for watcher in feed.watchers if feed is not None else ():
        if watcher.asks and watcher.client in state.clients:
            state.outbox.tell_client(watcher.client, RequestFailed(watcher.request, reason))


def tell_watchers(state: ServerState) -> None:
    """Answers those whose time has come and for whom there is something new."""
    for number, feed in list(state.feeds.items()):
        session = state.sessions[number]
        first = [each for each in feed.watchers if each.asks and each.news is None]
        due = [each for each in feed.watchers if each.asks and state.now >= each.due_s]
        may_count = state.now >= feed.rests_until_s or not session.unfinished
        if not first and not (due and may_count):
            continue
        budget_s = math.inf if any(each.once for each in due) else BUDGET_S
        spent_s = feed.counts.update(session.tasks, session.groups.of_spec, budget_s)
        groups, news = _groups(session, feed.counts), _rest(state, session)
        for watcher in due if may_count else first:
            _tell(state, watcher, groups, news)
        feed.watchers = [each for each in feed.watchers if each.asks or not each.once]
        spent_s += NEWS_S + GROUP_S * len(groups) + FAILURE_S * len(news.failures or ())
        feed.rests_until_s = state.now + spent_s / SHARE
        if not feed.watchers:
            del state.feeds[number]


def _is(watcher: Watcher, client: int, request: int) -> bool:
    return watcher.client == client and watcher.request == request


def _tell(state: ServerState, watcher: Watcher, groups: list[GroupNews], news: FeedNews) -> None:
    """The difference to what this one was told, if there is any."""
    watcher.due_s = state.now + watcher.interval_s
    before = watcher.news
    changed = tuple([group for group in groups if watcher.groups.get(group.name) != group])
    if before is not None and not changed and _is_same(before, news):
        return
    message = FeedNews(
        request=watcher.request,
        elapsed_s=news.elapsed_s,
        is_at_rest=news.is_at_rest,
        groups=changed,
        workers=None if before is not None and before.workers == news.workers else news.workers,
        n_more_workers=news.n_more_workers,
        failures=None if before is not None and before.failures == news.failures else news.failures,
        said=None if before is not None and before.said == news.said else news.said,
        failed=None if before is not None and before.failed == news.failed else news.failed,
        impossible=None if before is not None and before.impossible == news.impossible else news.impossible,
    )
    watcher.asks, watcher.news = False, news
    watcher.groups.update((group.name, group) for group in changed)
    state.outbox.tell_client(watcher.client, message)


def _is_same(one: FeedNews, other: FeedNews) -> bool:
    """But for the time that has passed."""
    return (one.is_at_rest, one.workers, one.n_more_workers, one.failures, one.said, one.failed, one.impossible) == (
        other.is_at_rest,
        other.workers,
        other.n_more_workers,
        other.failures,
        other.said,
        other.failed,
        other.impossible,
    )


def _groups(session: ServerSession, counted: StageCounts) -> list[GroupNews]:
    """All groups as they stand."""
    found = []
    counts, groups = counted.counts, session.groups
    for group, (name, n_bytes, work_us) in enumerate(zip(groups.names, groups.n_bytes, groups.work_us, strict=True)):
        base = STRIDE * group
        waiting = counts[base + WAITING] + counts[base + READY]
        running, finished, failed, cancelled = [counts[base + stage] for stage in _SHOWN]
        found.append(GroupNews(name, waiting, running, finished, failed, cancelled, n_bytes, work_us))
    return found


def _rest(state: ServerState, session: ServerSession) -> FeedNews:
    """Everything but the groups."""
    workers = sorted(state.workers.values(), key=lambda worker: worker.number)
    running_s = 0.0 if session.busy_since_s is None else state.now - session.busy_since_s
    return FeedNews(
        request=0,
        elapsed_s=session.busy_s + running_s,
        is_at_rest=not session.unfinished,
        workers=tuple(
            BusyWorker(worker.number, worker.offer.cpus / UNIT, sum(worker.outstanding.values()))
            for worker in workers[:MAX_WORKERS]
        ),
        n_more_workers=max(0, len(workers) - MAX_WORKERS),
        failures=tuple(_failures(session)),
        said=tuple(_said(session)),
        failed=(session.failed_reason or "")[:MAX_TEXT],
        impossible=session.unrunnable_reason[:MAX_TEXT],
    )


def _failures(session: ServerSession) -> list[FirstFailure]:
    found: list[FirstFailure] = []
    for task, failed in session.failed_tasks.items():
        if len(found) == MAX_FAILURES:
            break
        message, traceback = failed.failure.message, failed.failure.traceback
        n_followers = session.n_followers.get(task, 0)
        found.append(FirstFailure(task, _name(session, task), _end(message), _end(traceback), n_followers))
    return found


def _said(session: ServerSession) -> list[SaidByTask]:
    """Running tasks that said how far they are, then the end of what was printed last."""
    found: list[SaidByTask] = []
    for task, progress in listed_progress(session):
        if len(found) == MAX_SAID:
            break
        found.append(SaidByTask(task, _name(session, task), progress.text, progress.fraction))
    for task in islice(reversed(session.attached.notes), MAX_NOTES):
        printed = session.attached.notes[task].stdout or session.attached.notes[task].stderr
        if printed:
            found.append(SaidByTask(task, _name(session, task), _end(printed)))
            break
    return found


def _name(session: ServerSession, task: int) -> str:
    return shown_name(session.specs[session.tasks.spec[task]])


def _end(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"… {text[-MAX_TEXT:]}"
