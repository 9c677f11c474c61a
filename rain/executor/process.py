"""The life of one executor process, from the fork to its end."""

from __future__ import annotations

import faulthandler
import gc
import mmap
import os
import resource
import signal
import socket
import sys
from pathlib import Path

from rain.deploy.process_tree import become_subreaper, die_with_parent
from rain.executor.loop import ExecutorLoop
from rain.executor.outlet import Outlet
from rain.executor.results import ResultStore
from rain.executor.runner import Surroundings
from rain.executor.shares import Shares
from rain.executor.traces import TaskTraces
from rain.executor.workplace import CapturedOutput, CurrentFolder
from rain.wire.pipe import BlockingPipe

#: Two u64: tasks begun, tasks ended.
COUNTS_BYTES = 16


class Folders:
    """The folders of a worker as its executors use them."""

    __slots__ = ("stderr", "store", "tasks")

    def __init__(self, store: str, tasks: str, stderr: str) -> None:
        self.store = store
        self.tasks = tasks
        self.stderr = stderr

    def of_executor(self, executor: int) -> str:
        """Where its tasks work; nobody else writes there."""
        return f"{self.tasks}/e{executor}"

    def output_stem(self, executor: int) -> str:
        """The path, without ".stdout" and ".stderr", of the files that take what its tasks print."""
        return f"{self.stderr}/e{executor}"


def run_executor(executor: int, parent: int, pipe: socket.socket, counts: int, folders: Folders) -> None:
    """Runs tasks until the worker closes the pipe; to be called in a fresh fork, which ends when it returns."""
    die_with_parent(parent)
    os.setsid()
    become_subreaper()
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    for name in [name for name in os.environ if name.startswith("RAIN_")]:
        del os.environ[name]
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0, inheritable=True)
    scratch = folders.of_executor(executor)
    Path(scratch).mkdir(mode=0o700)
    blocking = BlockingPipe(pipe)
    stem = folders.output_stem(executor)
    surroundings = Surroundings(
        store=ResultStore(folders.store, executor),
        folder=CurrentFolder(f"{scratch}/cwd"),
        output=CapturedOutput(stem),
        traces=TaskTraces((f"{stem}.stdout", f"{stem}.stderr"), f"{scratch}/cwd"),
        outlet=Outlet(blocking),
        scratch=scratch,
        shares=Shares(dict(os.environ)),
    )
    # A task that crashes in C code says at least where.
    faulthandler.enable(sys.stderr)
    shared = mmap.mmap(counts, COUNTS_BYTES)
    os.close(counts)
    gc.enable()
    try:
        ExecutorLoop(blocking, memoryview(shared).cast("Q"), surroundings).run()
    except (BrokenPipeError, ConnectionResetError):
        pass  # The worker is gone, and with it the reason to be.
