"""Finding and killing everything a process started, however far it ran: Linux's /proc, no bookkeeping.

The worker, its forkserver and every executor are *subreapers*: a process whose parent died becomes the child of the
nearest one above it, so nothing that a task starts can leave the tree, whatever session or process group it makes for
itself.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

#: Children of every kind, also those that do not end with SIGCHLD. Source: waitid(2); `os` has no name for it.
_WALL = 0x40000000
_ANY_CHILD = os.WEXITED | os.WNOHANG | os.WNOWAIT | _WALL

#: Passes of stopping and looking again; each finds only what was forked during the one before.
_MAX_PASSES = 50


def become_subreaper() -> None:
    """Orphaned descendants become children of this process instead of init's."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Has this process killed when `parent`, the process that forked it, dies; exits if it is dead already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def children(pid: int) -> set[int]:
    """The children of a process, zombies included; none if it is gone."""
    found: set[int] = set()
    try:
        for thread in os.scandir(f"/proc/{pid}/task"):
            with open(f"{thread.path}/children", "rb") as file:  # noqa: PTH123 (twice for every program)
                found.update(map(int, file.read().split()))
    except FileNotFoundError:
        # The process or thread is gone, or the kernel was built without this file.
        if Path(f"/proc/{pid}").exists() and not Path("/proc/thread-self/children").exists():
            return _children_by_parent(pid)
    except (ProcessLookupError, PermissionError):
        pass
    return found


def own_children() -> set[int]:
    """The children of this process, zombies included; quick where there are none."""
    try:
        # Reaps nothing.
        os.waitid(os.P_ALL, 0, _ANY_CHILD)
    except ChildProcessError:
        return set()
    return children(os.getpid())


def kill_trees(roots: Iterable[int]) -> None:
    """Sends SIGKILL to these processes and all their descendants; waits for none of them.

    They are stopped first, so that none can start another while it is looked for.
    """
    stopped: set[int] = set()
    fresh = set(roots)
    for _ in range(_MAX_PASSES):
        for pid in fresh:
            _signal(pid, signal.SIGSTOP)
        stopped |= fresh
        fresh = {child for pid in stopped for child in children(pid)} - stopped
        if not fresh:
            break
    for pid in stopped:
        _signal(pid, signal.SIGKILL)


def kill_new_children(before: set[int]) -> None:
    """Kills and reaps every child of this process that is not in `before`, with its descendants."""
    # A killed child's own children become ours, so it takes as many rounds as they are deep; they are dead by then.
    while left := own_children() - before:
        kill_trees(left)
        for pid in left:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass  # its own parent reaped it in between


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # gone, or a setuid program that ends by itself


def _children_by_parent(parent: int) -> set[int]:
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_bytes()
            except OSError:
                continue
            # The name, in parentheses, may itself contain anything.
            if int(stat.rpartition(b")")[2].split()[1]) == parent:
                found.add(int(entry.name))
    return found


def _prctl(option: int, argument: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
