"""How many cpus a program may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rain.deploy.capacity import detect_cpus

ALLOWED = len(os.sched_getaffinity(0))


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_a_control_group_the_affinity_counts(tmp_path: Path) -> None:
    assert detect_cpus(tmp_path) == ALLOWED


@pytest.mark.parametrize(("limit", "cpus"), [("max 100000", ALLOWED), ("100000 100000", 1), ("50000 100000", 1)])
def test_a_quota_of_version_2_cuts_it(tmp_path: Path, limit: str, cpus: int) -> None:
    write(tmp_path, "cpu.max", limit + "\n")
    assert detect_cpus(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("-1", ALLOWED), ("100000", 1)])
def test_a_quota_of_version_1_cuts_it(tmp_path: Path, quota: str, cpus: int) -> None:
    write(tmp_path, "cpu/cpu.cfs_quota_us", quota)
    write(tmp_path, "cpu/cpu.cfs_period_us", "100000")
    assert detect_cpus(tmp_path) == cpus
