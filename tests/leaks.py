"""Finds what a test run leaves behind: processes of Rain that carry the run's id, and files in the run's folders."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil

#: The environment variable by which every process started under a test run is known as that run's.
RUN_VARIABLE = "RAIN_TEST_RUN"

PROGRAMS = ("rain.server", "rain.worker", "rain.executor")


def leaked_processes(run_id: str, *, grace_s: float) -> list[psutil.Process]:
    """The run's server, worker and executor processes that are still alive after `grace_s` seconds.

    Returns at once when there are none. Processes of other runs, and of other users, are never looked at further.
    """
    _, alive = psutil.wait_procs(list(_processes_of(run_id)), timeout=grace_s)
    return alive


def leaked_files(folder: Path) -> list[Path]:
    """Everything under `folder` that is not a folder: files, links, sockets, pipes."""
    return sorted(path for path in folder.rglob("*") if not stat.S_ISDIR(path.lstat().st_mode))


def leaked_entries(folder: Path) -> list[Path]:
    """What Rain made directly in a temporary folder and did not take away, apart from empty folders."""
    return sorted(path for path in folder.glob("rain*") if not path.is_dir() or leaked_files(path))


def _processes_of(run_id: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.uids().real != os.getuid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            command = " ".join(process.cmdline())
            if any(program in command for program in PROGRAMS) and process.environ().get(RUN_VARIABLE) == run_id:
                yield process
        except psutil.Error:
            continue  # It ended, or is not ours to look at: either way not a leak of this run.
