"""Whole clusters with faults, from many seeds. Each failure is a seed: `python -m tests.sim SEED` plays it aloud."""

from __future__ import annotations

import pytest

from tests.sim.world import World

N_SEEDS = 200
N_PARTS = 10


@pytest.mark.parametrize("part", range(N_PARTS))
def test_clusters_with_faults_finish_their_work_and_leave_nothing(part: int) -> None:
    n_inner_edges = 0
    for seed in range(part, N_SEEDS, N_PARTS):
        world = World(seed)
        try:
            world.run()
        except Exception as error:
            pytest.fail(
                f"seed {seed}, at {world.timeline.now:.3f} s: {type(error).__name__}: {error}\n"
                f"faults: {world.faults.describe()}\n"
                f"replay: python -m tests.sim {seed}"
            )
        n_inner_edges += world.n_inner_edges
    assert n_inner_edges, "in none of these runs did a task travel with what makes its inputs"


@pytest.mark.parametrize("seed", [377, 380, 748, 5638, 6782])
def test_seeds_that_once_found_something_find_nothing(seed: int) -> None:
    World(seed).run()


@pytest.mark.parametrize("seed", [7, 50, 52])
def test_a_seed_plays_the_same_run_again(seed: int) -> None:
    digests = []
    for _ in range(2):
        world = World(seed)
        world.run()
        digests.append((world.trace.digest, world.trace.n_events))
    assert digests[0] == digests[1]
    assert digests[0][1] > 100


def test_other_seeds_play_other_runs() -> None:
    digests = set()
    for seed in range(4):
        world = World(seed)
        world.run()
        digests.add(world.trace.digest)
    assert len(digests) == 4
