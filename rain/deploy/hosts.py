"""Which hosts a cluster spreads over: a host file, or the node list of a batch system's allocation."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from rain.core.errors import RainException


def read_host_file(path: Path) -> list[str]:
    """One host per line; blank lines and `#` comments are skipped. Raises RainException."""
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise RainException(f"the host file {path} cannot be read: {error.strerror}") from error
    hosts = [line.split("#", 1)[0].strip() for line in lines]
    hosts = [host for host in hosts if host]
    if not hosts:
        raise RainException(f"the host file {path} names no host: expected one host per line")
    for host in hosts:
        check_host(host)
    return hosts


def check_host(host: str) -> None:
    """Raises RainException for what ssh would take for an option or the shell for more than one word."""
    if host.startswith("-") or any(not (c.isalnum() or c in "-._@:[]") for c in host):
        raise RainException(f"{host!r} is no host name: expected letters, digits and `-._@`")


def allocated_hosts(system: str, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The hosts of the batch job in which this runs; `system` is "pbs" or "slurm". Raises RainException outside one."""
    if system == "pbs":
        return _unique(read_host_file(Path(_needed(environment, "PBS_NODEFILE", "PBS"))))
    nodes = _needed(environment, "SLURM_JOB_NODELIST", "Slurm")
    try:
        answer = subprocess.run(
            ["scontrol", "show", "hostnames", nodes], check=False, capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RainException(f"`scontrol show hostnames` failed, so the job's hosts are not known: {error}") from error
    if answer.returncode != 0:
        raise RainException(f"`scontrol show hostnames {nodes}` failed: {answer.stderr.strip()}")
    return _unique(answer.stdout.split())


def _needed(environment: Mapping[str, str], name: str, system: str) -> str:
    value = environment.get(name)
    if not value:
        raise RainException(
            f"{name} is not set: `--autoconf` works inside a {system} job, run it from the job's script"
        )
    return value


def _unique(hosts: list[str]) -> list[str]:
    return list(dict.fromkeys(hosts))
