"""What this worker offers: what its configuration says, and for the rest what the process may use."""

from __future__ import annotations

import os
from pathlib import Path

from rain.core.config import WorkerConfig
from rain.core.errors import RainException
from rain.core.resources import UNIT, Offer
from rain.deploy.capacity import detect_cpus
from rain.deploy.gpus import check_gpus

_CGROUP = Path("/sys/fs/cgroup")
#: cgroup version 2, then 1.
_MEMORY_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")

_OWN_OPTIONS = {"cpus", "gpus", "memory"}


def offer_of(config: WorkerConfig) -> Offer:
    """The offer of a worker with this configuration. Raises RainException when it makes no sense."""
    cpus = detect_cpus() if config.cpus is None else config.cpus
    if cpus < 1:
        raise RainException(f"a worker needs at least one cpu, found cpus={cpus}")
    memory_bytes = detect_memory() if config.memory_bytes is None else config.memory_bytes
    amounts = [("gpus", config.gpus), ("memory", memory_bytes), *config.resources]
    for name, amount in amounts:
        if amount < 0:
            raise RainException(f"a worker offers an amount of zero or more, found {name}={amount}")
    _check_names([name for name, _ in config.resources])
    check_gpus(config.gpus, os.environ)
    return Offer(
        cpus=cpus * UNIT,
        gpus=config.gpus * UNIT,
        memory_bytes=memory_bytes,
        named=tuple(sorted((name, amount * UNIT) for name, amount in config.resources)),
    )


def _check_names(names: list[str]) -> None:
    """Raises RainException for names of resources that no task could mean."""
    for name in names:
        if name in _OWN_OPTIONS:
            raise RainException(f"the resource {name!r} has an option of its own: --{name}")
        if names.count(name) > 1:
            raise RainException(f"the resource {name!r} is offered twice: name each once, with its whole amount")


def detect_memory(root: Path = _CGROUP) -> int:
    """Bytes of memory that this process may use: those of the machine, cut by the limit of its control group."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name in _MEMORY_LIMITS:
        try:
            # "max" where there is no limit.
            return min(machine, int((root / name).read_text()))
        except (OSError, ValueError):
            continue
    return machine
