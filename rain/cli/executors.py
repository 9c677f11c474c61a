"""The executors of a worker on this machine, and the programs that run in them, as the system shows them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import psutil

from rain.deploy.process_tree import children

_FORKSERVER = "rain.executor.forkserver"


class ExecutorProcess(NamedTuple):
    """One executor, idle or not."""

    pid: int
    #: The id of the task that it runs, as it says itself; None: it is idle, or runs many short ones in a row.
    task: str | None
    #: Commands of the processes that its task started.
    programs: list[str]


def executors_of(worker_pid: int) -> list[ExecutorProcess]:
    """Those of the worker with this process id, by their own; none where it has ended."""
    found = [
        ExecutorProcess(executor, _task(executor), _programs(executor))
        for forkserver in children(worker_pid)
        if _FORKSERVER in _words(forkserver)
        for executor in children(forkserver)
        # Executors are forked, so they show the forkserver's command; what else is there lost its executor just now.
        if _FORKSERVER in _words(executor)
    ]
    return sorted(found, key=lambda each: each.pid)


def _task(executor: int) -> str | None:
    try:
        name = Path(f"/proc/{executor}/comm").read_text().strip()
    except OSError:
        return None
    return name if re.fullmatch(r"s\d+\.t\d+", name) else None


def _programs(executor: int) -> list[str]:
    return [command for pid in sorted(children(executor)) if (command := " ".join(_words(pid)))]


def _words(pid: int) -> list[str]:
    """The command of a process; empty where it has ended."""
    try:
        words: list[str] = psutil.Process(pid).cmdline()
    except psutil.Error:
        return []
    return words
