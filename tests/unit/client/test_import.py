"""What `import rain` brings with it, and what building a task costs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import rain
from rain.client import Session, remote

HEAVY = ("IPython", "numpy", "pandas", "tornado", "zmq", "cloudpickle", "pyarrow")


def test_importing_rain_is_light() -> None:
    script = (
        "import sys, time; began = time.process_time(); import rain; rain.Client; rain.blob; "
        f"print(time.process_time() - began, [name for name in {HEAVY} if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(rain.__file__).parents[1])}
    # The first run may have to compile.
    runs = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
        for _ in range(3)
    ]
    seconds, modules = min((run.stdout.split(maxsplit=1) for run in runs), key=lambda parts: float(parts[0]))
    assert modules.strip() == "[]"
    assert float(seconds) < 0.25


def test_building_a_task_takes_microseconds() -> None:
    @remote()
    def nothing(ctx: Any) -> None:
        """Does nothing."""

    def seconds_per_task() -> float:
        began = time.process_time()
        for _ in range(5000):
            nothing()
        return (time.process_time() - began) / 5000

    with Session(None, 1):
        nothing()
        # The best of several, since the machine has other things to do.
        assert min(seconds_per_task() for _ in range(5)) < 8e-6
