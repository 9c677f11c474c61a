"""What is left for small objects shrinks as the processes of tasks grow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rain.worker.memory import MemoryWatch

MIB = 1 << 20
GROW = "data = bytearray(b'x' * (64 << 20)); print('grown', flush=True); input()"
FORK = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {GROW!r}])"


@contextmanager
def forkserver() -> Iterator[int]:
    """A process whose only child has 64 MiB more than it has."""
    command = [sys.executable, "-c", FORK]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "grown\n"
        yield process.pid
        process.communicate("\n")


def test_the_memory_of_executors_is_taken_from_that_of_objects() -> None:
    with forkserver() as pid:
        assert 500 * MIB < MemoryWatch(1000 * MIB, pid).object_bytes() < 540 * MIB
    assert MemoryWatch(1000 * MIB, pid).object_bytes() == 600 * MIB


def test_objects_keep_a_tenth_whatever_executors_use() -> None:
    with forkserver() as pid:
        assert MemoryWatch(100 * MIB, pid).object_bytes() == 10 * MIB
        assert MemoryWatch(0, pid).object_bytes() == 8 * MIB
