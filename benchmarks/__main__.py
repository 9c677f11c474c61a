"""`python -m benchmarks`: the tables of docs/performance.md; `--peers` adds Dask and Ray where they are installed."""

from __future__ import annotations

import argparse
import sys

import rain
from benchmarks.contest import compete
from benchmarks.data import MB, data_rows
from benchmarks.engines import CPUS, joblib_engine, pool_engine, rain_engine
from benchmarks.million import million_rows
from benchmarks.peers import PEERS, is_installed
from benchmarks.spawning import spawning_rows
from benchmarks.start import start_rows
from benchmarks.table import show
from benchmarks.workloads import full, quick

PARTS = ("start", "tasks", "million", "programs", "data")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without any")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer: a look, not a measurement")
    parser.add_argument("--peers", action="store_true", help="with the other engines that are installed")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown parts {sorted(unknown)}; there are {', '.join(PARTS)}")
    rounds = 1 if options.quick else 3
    print(f"Rain {rain.__version__}, Python {sys.version.split()[0]}, {CPUS} cpus, one local worker, encrypted wire")
    for part in options.parts or PARTS:
        print()
        show(rows_of(part, rounds, options))


def rows_of(part: str, rounds: int, options: argparse.Namespace) -> list[list[str]]:
    """The table of one part."""
    small = options.quick
    if part == "start":
        return start_rows(rounds + 2)
    if part == "million":
        return million_rows(100_000 if small else 1_000_000)
    if part == "programs":
        return spawning_rows(rounds, 200 if small else 2000, 10 if small else 50)
    if part == "data":
        return data_rows(rounds, (100 * MB,) if small else (100 * MB, 1000 * MB))
    engines = [rain_engine, pool_engine]
    engines += [joblib_engine] if is_installed("joblib") else []
    if options.peers:
        engines += [opened for package, opened in PEERS.items() if is_installed(package)]
    return compete(engines, quick() if small else full(), rounds)


if __name__ == "__main__":
    main()
