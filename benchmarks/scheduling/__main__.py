"""Prints how long Rain's schedules are, relative to others; a few minutes of processor time.

python -m benchmarks.scheduling [--seeds 11] [--graphs grid layered] [--quick]
"""

from __future__ import annotations

import argparse

from benchmarks.scheduling.baselines import BASELINES
from benchmarks.scheduling.contest import BANDWIDTHS, CLUSTERS, RAIN, Case, cases, geometric_mean
from benchmarks.scheduling.generators import GENERATORS, generate

EXACT, MEANS = "b-level", "b-level, means"
OTHERS = [name for name in BASELINES if name not in (EXACT, MEANS)]


def main() -> None:
    """Plays every graph on every cluster and prints a row per graph as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scheduling", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[11], help="what the graphs are drawn from")
    parser.add_argument("--graphs", nargs="+", default=list(GENERATORS), choices=list(GENERATORS), metavar="GRAPH")
    parser.add_argument("--quick", action="store_true", help="two clusters and two bandwidths only")
    args = parser.parse_args()
    clusters, bandwidths = (CLUSTERS[::2], (64.0, 1024.0)) if args.quick else (CLUSTERS, BANDWIDTHS)
    print("Makespans, geometric means; `exact` knows all durations, `means` the mean of each function, Rain none.\n")
    print("| graph | Rain / means | Rain / exact |", *(f" {name} / exact |" for name in OTHERS), sep="")
    print("|---|---:|---:|", *("---:|" for _ in OTHERS), sep="")
    makespans: dict[Case, dict[str, float]] = {}
    for graph in args.graphs:
        mine = cases([graph], args.seeds, clusters, bandwidths)
        makespans |= {case: {name: case.makespan(name) for name in (RAIN, *BASELINES)} for case in mine}
        print(_row(generate(graph, args.seeds[0]).name, [makespans[case] for case in mine]), flush=True)
    print(_row("**all**", list(makespans.values())))
    print("\n| bandwidth, MiB/s | Rain / means | Rain / exact |", *(f" {name} / exact |" for name in OTHERS), sep="")
    print("|---|---:|---:|", *("---:|" for _ in OTHERS), sep="")
    for bandwidth in bandwidths:
        found = [values for case, values in makespans.items() if case.bandwidth == bandwidth]
        print(_row(f"{bandwidth:g}", found))
    for n_workers, cores in clusters:
        found = [values for case, values in makespans.items() if case.n_workers == n_workers]
        print(_row(f"{n_workers} workers of {cores} cores", found))


def _row(label: str, makespans: list[dict[str, float]]) -> str:
    def ratio(scheduler: str, reference: str) -> str:
        return f"{geometric_mean(each[scheduler] / each[reference] for each in makespans):.3f}"

    columns = [ratio(RAIN, MEANS), ratio(RAIN, EXACT), *(ratio(name, EXACT) for name in OTHERS)]
    return f"| {label} | {' | '.join(columns)} |"


if __name__ == "__main__":
    main()
