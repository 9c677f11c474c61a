"""Freed memory stays with a process that asked for that."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Frees 20 MB, which are the last that it got, and says how much memory the process has lost by that.
PROGRAM = """
import sys
from rain.wire.allocation import keep_freed_memory
if sys.argv[1:]:
    keep_freed_memory(int(sys.argv[1]))

def resident():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1])

data = b"x" * 20_000_000
before = resident()
del data
print(before - resident())
"""


@pytest.mark.parametrize(("kept_bytes", "is_kept"), [((), False), (("1000000",), False), (("64000000",), True)])
def test_freed_memory_is_kept_up_to_the_bound(kept_bytes: tuple[str, ...], is_kept: bool) -> None:
    found = subprocess.run([sys.executable, "-c", PROGRAM, *kept_bytes], check=True, capture_output=True, text=True)
    lost_kib = int(found.stdout)
    assert lost_kib < 2_000 if is_kept else lost_kib > 15_000
