"""Replays simulated runs: `python -m tests.sim SEED` prints all that happens; `FIRST STOP` plays a range, quietly."""

from __future__ import annotations

import sys
import time
import traceback

from tests.sim.world import World


def main(first: int, stop: int) -> int:
    """Plays the seeds; returns the number of failures."""
    failures = 0
    for seed in range(first, stop):
        began = time.perf_counter()
        world = World(seed, loud=stop == first + 1)
        try:
            world.run()
        except Exception as error:
            failures += 1
            print(f"seed {seed} FAILED at {world.timeline.now:.3f}: {type(error).__name__}: {error}")
            if stop == first + 1:
                traceback.print_exc()
        else:
            if stop == first + 1:
                spent = time.perf_counter() - began
                print(f"seed {seed}: {world.trace.n_events} events, trace {world.trace.digest}, {spent:.2f} s")
    print(f"{failures} of {stop - first} seeds failed")
    return failures


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:]]
    if not 1 <= len(numbers) <= 2:
        raise SystemExit(__doc__)
    sys.exit(main(numbers[0], numbers[-1] if len(numbers) == 2 else numbers[0] + 1) > 0)
