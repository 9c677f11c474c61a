"""Engines take turns at the same works, several rounds; what counts is the median, and the median of ratios in a round.

In each round every engine is started, warmed up, given each work once, and ended before the next one starts: nobody's
idle processes take part in the measurement of others.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from benchmarks.engines import NotOffered
from benchmarks.workloads import Seconds, Workload

Opened = Callable[[], AbstractContextManager[Any]]
#: Of each work, the seconds in each round.
Times = list[list[Seconds]]


def compete(engines: Sequence[Opened], works: Sequence[Workload], rounds: int) -> list[list[str]]:
    """The table: a row per work, a column per engine, and how many times the first engine is as fast as the others."""
    names = [""] * len(engines)
    times: list[Times] = [[[] for _ in works] for _ in engines]
    for round_number in range(rounds):
        for place, opened in enumerate(engines):
            with opened() as engine:
                names[place] = engine.name
                engine.flat(200)
                for work, seconds in zip(works, times[place], strict=True):
                    _say(f"round {round_number + 1}: {engine.name}: {work.title}")
                    try:
                        seconds.append(work.run(engine))
                    except NotOffered:
                        seconds.append(float("nan"))
    _say("")
    rows = [["work", *names, *(f"to {name.split('(')[0]}" for name in names[1:])]]
    for number, work in enumerate(works):
        of_engines = [each[number] for each in times]
        rows.append([work.title, *(_told(work, each) for each in of_engines), *_ratios(of_engines)])
    return rows


def _told(work: Workload, seconds: list[Seconds]) -> str:
    middle = statistics.median(seconds)
    return "-" if math.isnan(middle) else work.told(middle)


def _ratios(of_engines: list[list[Seconds]]) -> list[str]:
    own = of_engines[0]
    found = [statistics.median(peer / ours for ours, peer in zip(own, other, strict=True)) for other in of_engines[1:]]
    return ["-" if math.isnan(ratio) else f"{ratio:.2f} x" for ratio in found]


def _say(text: str) -> None:
    """What is going on, for somebody who waits at a terminal."""
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)
