"""How much of this machine a program may use."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def detect_cpus(root: Path = _CGROUP) -> int:
    """Whole cpus that this process may use: its affinity, cut by the cgroup's quota; at least 1."""
    affinity = len(os.sched_getaffinity(0))
    quota = _cgroup_quota(root)
    return max(1, affinity if quota is None else min(affinity, int(quota)))


def _cgroup_quota(root: Path) -> float | None:
    """Cpus by the quota of the control group (version 2, then 1); None: no limit."""
    try:
        limit, period = (root / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit = (root / "cpu" / "cpu.cfs_quota_us").read_text()
        period = (root / "cpu" / "cpu.cfs_period_us").read_text()
        return int(limit) / int(period) if int(limit) > 0 else None
    except (OSError, ValueError):
        return None
