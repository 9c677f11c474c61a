"""A cluster that outlives the command that starts it: what `rain run` builds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import msgspec

from rain.core.config import ServerConfig, Started, WorkerConfig
from rain.deploy.folders import log_file
from rain.deploy.gpus import gpu_environment
from rain.deploy.program import ChildProgram
from rain.deploy.remote import RemoteWorkers


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to start, and where."""

    server: ServerConfig
    #: One per local worker; server and access are filled in.
    local_workers: tuple[WorkerConfig, ...] = ()
    remote_hosts: tuple[str, ...] = ()
    #: Words for each remote `rain worker`.
    remote_options: tuple[str, ...] = ()
    remote_init: str = ""
    #: Words before each program, such as a profiler.
    prefix: tuple[str, ...] = ()
    logs: Path


def start_cluster(plan: Plan) -> Started:
    """Start everything and return when all is ready.

    Raises RainException with the first program's own error; whatever had been started is ended then.
    """
    gpus = _gpus_of(plan.local_workers)
    server = start_background(plan.server, plan.logs, plan.prefix)
    programs = [server]
    try:
        started = server.wait_ready()
        workers = [
            start_background(reach(config, plan, started), plan.logs, plan.prefix, environment)
            for config, environment in zip(plan.local_workers, gpus, strict=True)
        ]
        programs += workers
        remote = _start_remote(plan, started)
        for worker in workers:
            worker.wait_ready()
        if remote is not None:
            remote.wait_ready()
    except BaseException:
        # The server sends its workers away, the remote ones too, before it ends.
        for program in programs:
            program.end()
        for program in programs:
            program.wait_ended()
        raise
    for program in programs:
        program.let_go()
    return started


def start_background(
    config: ServerConfig | WorkerConfig,
    logs: Path,
    prefix: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> ChildProgram:
    """Start one program detached, with a log file of its own."""
    role = "server" if isinstance(config, ServerConfig) else "worker"
    return ChildProgram(config, embedded=False, prefix=prefix, log=log_file(logs, role), environment=environment)


def reach(config: WorkerConfig, plan: Plan, started: Started) -> WorkerConfig:
    """The worker's configuration with where the server is."""
    return msgspec.structs.replace(
        config, server_host=plan.server.host, server_port=started.port, access=started.worker_access
    )


def _gpus_of(workers: Sequence[WorkerConfig]) -> list[dict[str, str]]:
    """For each worker of this machine the environment with its gpus, no two of them the same. Raises RainException."""
    firsts = accumulate((worker.gpus for worker in workers), initial=0)
    return [gpu_environment(first, worker.gpus, os.environ) for first, worker in zip(firsts, workers, strict=False)]


def _start_remote(plan: Plan, started: Started) -> RemoteWorkers | None:
    if not plan.remote_hosts:
        return None
    return RemoteWorkers(
        plan.remote_hosts,
        server=f"{plan.server.host}:{started.port}",
        access=Path(started.worker_access),
        options=plan.remote_options,
        prefix=plan.prefix,
        init=plan.remote_init,
    )
