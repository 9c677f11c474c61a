"""The tight loop over tasks of a range: a handful of Python's own calls per task, and two system calls."""

from __future__ import annotations

import os
import pickle
import time
from array import array
from itertools import pairwise
from typing import Any, NamedTuple

from rain.data.instance import DataInstance
from rain.executor.quick_calls import QuickCalls
from rain.executor.traces import TaskTraces
from rain.protocol.executor import MAX_PIPE_RESULT


class OddEnd(NamedTuple):
    """How a task ended that is out of the ordinary: it raised, it left something behind, or its result is unusual."""

    #: What it returned; nothing if it raised.
    result: Any
    #: The bytes of that, where it is an ordinary result.
    data: bytes | None
    error: BaseException | None


class Stretch(NamedTuple):
    """Tasks of a range that ran one after the other."""

    #: When the first one began, and when each of them ended, in nanoseconds.
    times: list[int]
    #: Of those with an ordinary end.
    results: list[bytes]
    #: The end of the one after these; None: it did not run.
    odd: OddEnd | None


class StretchLimits(NamedTuple):
    """When a stretch ends, though the task in which it happens is done."""

    due_ns: int
    n_bytes: int


def run_stretch(
    calls: QuickCalls,
    args: tuple[bytes, array[int], int],
    counts: memoryview,
    traces: TaskTraces,
    limits: StretchLimits,
) -> Stretch:
    """Runs tasks until one has an odd end, a limit is reached, or there are no more.

    `args`: of all tasks of the range, where each one's end (with 0 before the first), and the task to start with.
    `counts`: tasks begun, tasks ended; right at every moment.
    """
    (function, encode, _, name), (data, ends, start) = calls, args
    clock, loads, umask, (events, has_news) = time.perf_counter_ns, pickle.loads, os.umask, traces.questions()
    due_ns, room = limits
    n_begun = counts[0]
    results: list[bytes] = []
    times = [clock()]
    for begin, end in pairwise(ends[start:]):
        n_begun += 1
        counts[0] = n_begun
        result = made = None
        try:
            if begin == end:
                result = function()
            else:
                try:
                    positional, named = loads(data[begin:end])
                except Exception as error:
                    error.add_note(f"while the arguments of {name}() were unpickled on the worker")
                    raise
                result = function(*positional, **named)
            if not isinstance(result, DataInstance):
                try:
                    made = encode(result)
                except Exception:  # runs methods of the user's value; collecting it tells what is wrong
                    pass
        # The user's code: SystemExit, KeyboardInterrupt and whatever else it raises fail this task only.
        except BaseException as error:
            counts[1] = n_begun
            times.append(clock())
            return Stretch(times, results, OddEnd(None, None, error))
        counts[1] = n_begun
        umask(0o077)
        now = clock()
        times.append(now)
        if made is None or len(made) > MAX_PIPE_RESULT or events or has_news(0):
            return Stretch(times, results, OddEnd(result, made, None))
        results.append(made)
        room -= len(made)
        if now >= due_ns or room < 0:
            break
    return Stretch(times, results, None)
