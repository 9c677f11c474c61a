"""The simulator of schedules, and that Rain's are good in it; loosely, on few cases."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.scheduling.baselines import BASELINES
from benchmarks.scheduling.cluster import Setting
from benchmarks.scheduling.contest import cases, geometric_mean, relative
from benchmarks.scheduling.engine import Rain
from benchmarks.scheduling.generators import GENERATORS, generate
from benchmarks.scheduling.graph import Graph
from benchmarks.scheduling.network import Network
from benchmarks.scheduling.timeline import Timeline


def flat(durations_s: list[float]) -> Graph:
    graph = Graph("flat")
    for duration_s in durations_s:
        graph.task("work", duration_s)
    return graph


def makespan(durations_s: list[float], n_workers: int = 16, cores: int = 8) -> float:
    return Rain(Setting(n_workers, cores, 1000.0), flat(durations_s), 1).makespan()


def test_few_long_tasks_are_spread_evenly() -> None:
    assert makespan([2.0] * 256) <= 1.05 * 4.0
    assert makespan([1.9] * 256) <= 1.05 * 3.8


def test_short_tasks_stream() -> None:
    assert makespan([0.001] * 20_000) <= 1.2 * 20_000 * 0.001 / 128
    assert makespan([0.05] * 2_560) <= 1.1 * 2_560 * 0.05 / 128


def test_long_tasks_among_short_ones_do_not_wait_for_one_another() -> None:
    random = Random(3)
    durations_s = [random.choice((0.005, 0.005, 0.005, 0.3)) for _ in range(2000)]
    assert makespan(durations_s) <= 1.25 * sum(durations_s) / 128


def test_rain_is_no_worse_than_list_scheduling_that_knows_mean_durations() -> None:
    graphs = ("merge_neighbours", "fork_shared", "expansion", "layered", "triplets")
    contest = cases(graphs, (2,), ((8, 4),), (64.0, 1024.0))
    found = relative(contest, "rain", "b-level, means")
    assert geometric_mean(found.values()) <= 1.0
    assert max(found.values()) <= 1.5


@pytest.mark.parametrize("name", GENERATORS)
def test_every_scheduler_ends_every_graph_and_none_before_it_can(name: str) -> None:
    setting = Setting(16, 8, 4096.0)
    graph = generate(name, 5)
    work_s = sum(duration_s * cpus for duration_s, cpus in zip(graph.duration_s, graph.cpus, strict=True))
    ideal_s = max(*graph.b_levels(graph.duration_s), work_s / 128)
    for found in (Rain(setting, graph, 1), BASELINES["b-level"](setting, graph, 1)):
        assert ideal_s <= found.makespan() <= 3 * ideal_s


def test_a_run_is_the_same_again() -> None:
    graph = generate("layered", 3)
    assert len({Rain(Setting(8, 4, 64.0), graph, 1).makespan() for _ in range(2)}) == 1


def test_bandwidth_is_shared_fairly_and_no_link_is_idle_that_could_be_used() -> None:
    timeline = Timeline()
    network = Network(timeline, 100.0)
    ended: dict[str, float] = {}

    def send(name: str, source: int, target: int, size: float) -> None:
        network.send(source, target, size, lambda: ended.update({name: round(timeline.now - 1.0, 3)}))

    # 1 sends to 2 and 3 at once; 4 sends to 3 as well: 50 each, then what is left takes all.
    send("a", 1, 2, 50.0)
    send("b", 1, 3, 100.0)
    send("c", 4, 3, 100.0)
    send("d", 5, 6, 100.0)
    timeline.run(lambda: len(ended) == 4)
    assert ended == {"a": 1.0, "d": 1.0, "b": 2.0, "c": 2.0}
