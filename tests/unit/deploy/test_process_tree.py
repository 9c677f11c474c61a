"""What a process has started, as the kernel tells it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from rain.deploy.process_tree import children, kill_new_children, own_children


@pytest.fixture
def child() -> Iterator[int]:
    """A process that waits for a signal."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    yield pid
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # the test saw to it


def test_own_children_are_those_that_the_kernel_lists(child: int) -> None:
    assert child in own_children()
    assert own_children() == children(os.getpid())


def test_a_child_that_ended_is_listed_until_it_is_reaped(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert child in own_children()
    assert os.waitpid(child, os.WNOHANG) == (child, signal.SIGKILL)
    assert child not in own_children()


def test_a_process_without_children_has_none() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0 if own_children() == set() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_only_children_that_were_not_there_before_are_killed(child: int) -> None:
    before = own_children()
    new = os.fork()
    if new == 0:
        signal.pause()
        os._exit(0)
    kill_new_children(before)
    assert own_children() == before
    assert child in before
