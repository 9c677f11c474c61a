"""The executors of a worker on this machine, and the programs that run in them, as the system shows them."""

from __future__ import annotations

from typing import NamedTuple

import psutil

from rain.deploy.process_tree import children

_FORKSERVER = "rain.executor.forkserver"


class ExecutorProcess(NamedTuple):
    """One executor, idle or not."""

    pid: int
    #: Commands of the processes that its task started.
    programs: list[str]


def executors_of(worker_pid: int) -> list[ExecutorProcess]:
    """Those of the worker with this process id, by their own; none where it has ended."""
    found = [
        ExecutorProcess(executor, [command for pid in sorted(children(executor)) if (command := " ".join(_words(pid)))])
        for forkserver in children(worker_pid)
        if _FORKSERVER in _words(forkserver)
        for executor in children(forkserver)
        # Executors are forked, so they show the forkserver's command; what else is there lost its executor just now.
        if _FORKSERVER in _words(executor)
    ]
    return sorted(found)


def _words(pid: int) -> list[str]:
    """The command of a process; empty where it has ended."""
    try:
        words: list[str] = psutil.Process(pid).cmdline()
    except psutil.Error:
        return []
    return words
