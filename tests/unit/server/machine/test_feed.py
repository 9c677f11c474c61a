"""Clients that watch a session: what they are told, how often, and when counting is put off."""

from __future__ import annotations

from array import array
from collections import Counter
from random import Random

from msgspec.structs import replace

from rain.core.note import TaskNote, TaskProgress
from rain.protocol.client import RequestFailed, Unwait
from rain.protocol.columns import pack
from rain.protocol.feed import MAX_FAILURES, MAX_GROUPS, FeedNews, GroupNews, WatchSession
from rain.protocol.worker import TasksProgressed
from rain.server.machine import feed, stage_counts
from rain.server.machine.effects import TellClient
from rain.server.machine.stage_counts import BLOCK, STRIDE, StageCounts
from rain.server.machine.tables import TaskTable
from tests.unit.server.machine.bench import Bench, spec


class Watching:
    """A client of the bench that watches its session, asks again after each answer, and puts together what it hears."""

    def __init__(self, bench: Bench, interval_s: float = 0.2) -> None:
        self.bench, self.interval_s = bench, interval_s
        self.groups: dict[str | None, GroupNews] = {}
        self.request = 1000
        self.answers: list[FeedNews] = []
        self._ask(0)

    def hears(self) -> FeedNews | None:
        """The answer to its last question, if there is one; then it has asked again."""
        found = [
            effect.message
            for effect in self.bench.effects
            if isinstance(effect, TellClient)
            and isinstance(effect.message, FeedNews)
            and effect.message.request == self.request
        ]
        self.bench.ignore()
        if not found:
            return None
        [news] = found
        self.groups.update((group.name, group) for group in news.groups)
        self.answers.append(news)
        self._ask(self.request)
        return news

    def counts(self, name: str | None = "f") -> tuple[int, int, int, int, int]:
        """Waiting, running, finished, failed, cancelled; after what is new was heard."""
        self.hears()
        self.bench.time_passes(1.0)
        while self.hears():
            self.bench.time_passes(1.0)
        group = self.groups[name]
        return group.waiting, group.running, group.finished, group.failed, group.cancelled

    def _ask(self, after: int) -> None:
        self.request += 1
        self.bench.client_says(WatchSession(self.request, 1, self.interval_s, after))


def test_the_first_answer_comes_at_once_and_has_everything() -> None:
    bench = Bench()
    bench.worker_joins(cpus=2)
    bench.tasks(2)
    bench.task(spec=spec(name="main/train"))
    bench.submit()
    bench.ignore()
    news = Watching(bench).hears()
    assert news is not None
    assert [group.name for group in news.groups] == ["f", "main/train"]
    assert news.workers is not None
    assert [(each.worker, each.cpus) for each in news.workers] == [(1, 2.0)]
    assert (news.failures, news.said, news.failed, news.impossible, news.is_at_rest) == ((), (), "", "", False)


def test_every_transition_is_counted() -> None:
    bench = Bench(fail_fast=False)
    watching = Watching(bench)
    first, reader = bench.task(), bench.task()
    bench.task(reader.out)
    bench.submit()
    assert watching.counts() == (3, 0, 0, 0, 0)
    worker = bench.worker_joins(cpus=2)
    assert watching.counts() == (1, 2, 0, 0, 0) or watching.counts() == (0, 3, 0, 0, 0)
    bench.finishes(worker, first.task)
    assert watching.counts()[2:] == (1, 0, 0)
    bench.fails(worker, reader.task)
    assert watching.counts() == (0, 0, 1, 1, 1)
    last = watching.answers[-1]
    assert last.failures is not None
    assert [(each.task, each.name, each.message, each.n_followers) for each in last.failures] == [(1, "f", "boom", 1)]
    assert last.is_at_rest


def test_another_attempt_and_a_lost_worker_are_counted() -> None:
    bench = Bench(fail_fast=False)
    again, kept = bench.task(spec=spec(retries=1)), bench.task(keep=True)
    bench.submit()
    watching = Watching(bench)
    worker = bench.worker_joins(cpus=2)
    bench.fails(worker, again.task)
    bench.finishes(worker, kept.task)
    assert watching.counts() == (0, 1, 1, 0, 0)
    bench.worker_leaves(worker)
    assert watching.counts() == (2, 0, 0, 0, 0)
    bench.cancels(again.task)
    assert watching.counts() == (1, 0, 0, 0, 1)


def test_a_session_that_fails_says_why() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    failing = bench.task()
    bench.tasks(3)
    bench.submit()
    watching = Watching(bench)
    bench.fails(worker, failing.task)
    assert watching.counts() == (0, 0, 0, 1, 3)
    assert watching.answers[-1].failed == "boom"


def test_bytes_work_and_the_time_at_work_add_up() -> None:
    bench = Bench()
    worker = bench.worker_joins(cpus=32)
    many = bench.tasks(20, keep=True)
    one = bench.task(spec=spec(2, name="g"), keep=True)
    bench.submit()
    watching = Watching(bench)
    bench.time_passes(2.0)
    bench.finishes(worker, *[made.task for made in many], size=100, us=2000)
    bench.finishes(worker, one.task, size=7, us=500)
    bench.time_passes(50.0)
    watching.hears()
    bench.time_passes(50.0)
    watching.hears()
    assert (watching.groups["f"].n_bytes, watching.groups["f"].work_us) == (2000, 40_000)
    assert (watching.groups["g"].n_bytes, watching.groups["g"].work_us) == (14, 500)
    assert 2.0 <= watching.answers[-1].elapsed_s < 2.1


def test_only_differences_are_told_and_nothing_where_there_are_none() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    first = bench.task()
    bench.task(spec=spec(name="other", cpus=8))
    bench.submit()
    watching = Watching(bench)
    bench.time_passes(1.0)
    watching.hears()
    bench.time_passes(1.0)
    watching.hears()
    bench.time_passes(1.0)
    assert watching.hears() is None
    bench.finishes(worker, first.task)
    bench.time_passes(1.0)
    news = watching.hears()
    assert news is not None
    assert [group.name for group in news.groups] == ["f"]
    assert (news.failures, news.said, news.failed, news.impossible) == (None, None, None, None)


def test_answers_come_at_most_five_times_a_second_whatever_is_asked_for() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    tasks = bench.tasks(100)
    bench.submit()
    watching = Watching(bench, interval_s=float("nan"))
    watching.hears()
    began = bench.now
    for made in tasks:
        bench.now += 0.01
        bench.finishes(worker, made.task)
        watching.hears()
    assert 3 <= len(watching.answers) - 1 <= (bench.now - began) / 0.2 + 1


def test_who_does_not_ask_again_is_told_nothing_and_nothing_is_counted() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    made = bench.task()
    bench.submit()
    bench.ignore()
    bench.client_says(WatchSession(50, 1))
    bench.ignore()
    counted = bench.machine.state.feeds[1].counts.counts.copy()
    bench.finishes(worker, made.task)
    bench.time_passes(10)
    assert not [each for each in bench.effects if isinstance(each, TellClient) and isinstance(each.message, FeedNews)]
    assert bench.machine.state.feeds[1].counts.counts == counted


def test_who_goes_or_gives_up_or_wanted_one_answer_costs_nothing() -> None:
    bench = Bench(ttl_s=100)
    feeds = bench.machine.state.feeds
    bench.client_says(WatchSession(50, 1, once=True))
    assert not feeds
    bench.client_says(WatchSession(51, 1))
    bench.client_says(WatchSession(52, 1))
    bench.client_says(Unwait(51))
    assert len(feeds[1].watchers) == 1
    bench.client_leaves()
    assert not feeds


def test_a_session_that_is_closed_tells_who_watches() -> None:
    bench = Bench()
    bench.client_says(WatchSession(50, 1))
    bench.client_says(WatchSession(51, 1, after=50))
    bench.ignore()
    bench.closes()
    assert RequestFailed(51, "s1 was closed.") in [e.message for e in bench.effects if isinstance(e, TellClient)]
    assert not bench.machine.state.feeds


def test_a_watch_after_none_and_one_of_a_foreign_session_are_refused() -> None:
    bench = Bench()
    bench.client_says(WatchSession(50, 1, after=49))
    assert isinstance(bench.answer(RequestFailed), RequestFailed)
    bench.ignore()
    bench.client_says(WatchSession(51, 2))
    assert isinstance(bench.answer(RequestFailed), RequestFailed)
    assert not bench.machine.state.feeds


def test_names_that_are_too_many_are_one_group() -> None:
    bench = Bench()
    for number in range(MAX_GROUPS + 20):
        bench.task(spec=spec(name=f"name{number}"))
    bench.submit()
    watching = Watching(bench)
    watching.hears()
    assert len(watching.groups) == MAX_GROUPS + 1
    assert watching.counts(None)[0] == 20


def test_failures_are_few_and_what_tasks_say_is_told() -> None:
    bench = Bench(fail_fast=False)
    worker = bench.worker_joins(cpus=16)
    tasks = bench.tasks(MAX_FAILURES + 4)
    bench.submit()
    watching = Watching(bench)
    for made in tasks[:-2]:
        bench.fails(worker, made.task)
    talker, printer = tasks[-2].task, tasks[-1].task
    said = TasksProgressed(1, pack("I", [talker]), pack("I", [0]), (TaskProgress(0.5, "half"),))
    bench.worker_says(worker, said)
    note = TaskNote(stdout="x" * 10_000 + "end")
    bench.worker_says(worker, replace(bench.done([printer]), notes=((0, note),)))
    watching.counts()
    news = next(each for each in reversed(watching.answers) if each.said)
    assert max(len(each.failures or ()) for each in watching.answers) == MAX_FAILURES
    assert news.said is not None
    assert [(each.task, each.fraction) for each in news.said] == [(talker, 0.5), (printer, None)]
    assert news.said[0].text == "half"
    assert news.said[1].text.endswith("end")
    assert len(news.said[1].text) < 2100


def test_counting_that_takes_long_is_put_off_and_the_end_is_told_soon() -> None:
    bench = Bench()
    worker = bench.worker_joins()
    first, second = bench.tasks(2)
    bench.submit()
    watching = Watching(bench)
    watching.hears()
    bench.machine.state.feeds[1].rests_until_s = bench.now + 100
    bench.finishes(worker, first.task)
    bench.time_passes(1.0)
    assert watching.hears() is None
    bench.finishes(worker, second.task)
    bench.time_passes(1.0)
    assert watching.counts() == (0, 0, 2, 0, 0)


def test_a_count_has_a_budget_and_goes_on_where_it_ended() -> None:
    n_blocks = 40
    tasks = TaskTable()
    n = n_blocks * BLOCK
    column = array("I", [0]) * n
    tasks.append(array("I", [0, 1] * (n // 2)), column, column, array("I"))
    counts = StageCounts()
    of_spec = array("I", [0, 1])
    spent_s, rounds = 0.0, 0
    while counts.is_behind or not rounds:
        once_s = counts.update(tasks, of_spec, feed.BUDGET_S)
        assert once_s <= feed.BUDGET_S + BLOCK * (stage_counts.MIXED_ROW_S + stage_counts.NAME_ROW_S) + 1e-5
        spent_s, rounds = spent_s + once_s, rounds + 1
    assert rounds > 5
    assert counts.counts[0] == counts.counts[STRIDE] == n // 2
    # What has not changed costs next to nothing.
    assert counts.update(tasks, of_spec, feed.BUDGET_S) < spent_s / 100
    assert not counts.is_behind


def test_counts_are_those_of_all_rows_whatever_happens() -> None:
    random = Random(5)
    tasks, counts = TaskTable(), StageCounts()
    of_spec = array("I", [0, 1, 2, 1])
    for _ in range(60):
        if random.random() < 0.3:
            n = random.randrange(1, BLOCK)
            some = random.choice(([0], [1, 3], [0, 1, 2, 3]))
            column = array("I", [0]) * n
            tasks.append(array("I", random.choices(some, k=n)), column, column, array("I"))
        for task in random.choices(range(len(tasks) or 1), k=50 if len(tasks) else 0):
            tasks.stage[task] = random.randrange(6)
        counts.update(tasks, of_spec, 1e9)
        naive = Counter(STRIDE * of_spec[row] + stage for row, stage in zip(tasks.spec, tasks.stage, strict=True))
        assert +counts.counts == naive
