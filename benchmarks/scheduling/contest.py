"""Who is how fast: makespans of all schedulers over graphs, clusters and bandwidths, relative to b-level."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import fmean

from benchmarks.scheduling.baselines import BASELINES
from benchmarks.scheduling.cluster import Setting
from benchmarks.scheduling.engine import Rain
from benchmarks.scheduling.generators import generate

#: Workers, cores of each.
CLUSTERS = ((8, 4), (16, 8), (32, 16))
#: MiB per second of each worker in each direction.
BANDWIDTHS = (32.0, 128.0, 512.0, 2048.0, 8192.0)
RAIN = "rain"


@dataclass(frozen=True)
class Case:
    """A graph on a cluster."""

    graph: str
    seed: int
    n_workers: int
    cores: int
    bandwidth: float

    def makespan(self, scheduler: str) -> float:
        """Seconds that this scheduler needs."""
        setting = Setting(self.n_workers, self.cores, self.bandwidth)
        graph = generate(self.graph, self.seed)
        if scheduler == RAIN:
            return Rain(setting, graph, self.seed).makespan()
        return BASELINES[scheduler](setting, graph, self.seed).makespan()


def cases(
    graphs: Iterable[str],
    seeds: Sequence[int],
    clusters: Sequence[tuple[int, int]] = CLUSTERS,
    bandwidths: Sequence[float] = BANDWIDTHS,
) -> list[Case]:
    """All combinations."""
    return [
        Case(graph, seed, *cluster, bandwidth)
        for graph in graphs
        for seed in seeds
        for cluster in clusters
        for bandwidth in bandwidths
    ]


def geometric_mean(values: Iterable[float]) -> float:
    """exp of the mean of the logarithms."""
    return exp(fmean(map(log, values)))


def relative(contest: Iterable[Case], scheduler: str, reference: str) -> dict[Case, float]:
    """Makespans of a scheduler, each divided by that of the reference."""
    return {case: case.makespan(scheduler) / case.makespan(reference) for case in contest}
