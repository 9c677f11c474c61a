"""A cluster of this machine that ends with the process that started it: what `Client()` and `rain.local` use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import TracebackType

from rain.core.config import ServerConfig, WorkerConfig
from rain.core.errors import RainException
from rain.deploy.capacity import detect_cpus
from rain.deploy.folders import log_file
from rain.deploy.gpus import gpu_environment
from rain.deploy.program import ChildProgram
from rain.wire.access import sweep_stale
from rain.wire.owned_directory import new_owned_directory, sweep_owned, temporary_base
from rain.wire.runtime_directory import runtime_directory


class LocalCluster:
    """A server and workers as child processes, on free ports of the loopback address.

    `workers`: how many; `cpus`: of each worker, None: all that this process may use, shared evenly; `gpus`: of each
    worker, no two of them the same; `memory_bytes`: what each offers, None: that of the machine; `share_store`:
    whether they link one another's files. Returns when all is ready; raises RainException with the child's own error.
    `meanwhile` is called while the programs start.
    """

    def __init__(
        self,
        workers: int = 1,
        cpus: int | None = None,
        gpus: int = 0,
        *,
        memory_bytes: int | None = None,
        share_store: bool = True,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        _check_count(workers, f"a local cluster needs at least one worker, found workers={workers!r}")
        if cpus is not None:
            _check_count(cpus, f"a worker needs at least one cpu, found cpus={cpus!r}")
        _check_count(gpus, f"a worker offers a whole number of gpus, found gpus={gpus!r}", least=0)
        self._gpus = gpus
        self._memory_bytes = memory_bytes
        self._share_store = share_store
        self._logs = new_owned_directory("local", temporary_base())
        self._pid = os.getpid()
        self._workers: list[ChildProgram] = []
        self._places: dict[int, ChildProgram] = {}
        self._server: ChildProgram | None = None
        try:
            config = ServerConfig(port=0, http_port=0, kind="local", share_store=share_store)
            self._server = ChildProgram(config, embedded=True, log=log_file(self._logs, "server"))
            self._cpus = cpus if cpus is not None else max(1, detect_cpus() // workers)
            started = [self._start_worker(self._cpus) for _ in range(workers)]
            if meanwhile is not None:
                meanwhile()
            self._started = self._server.wait_ready()
            self.port = self._started.port
            #: The access file for clients.
            self.access_path = Path(self._started.client_access)
            for worker in started:
                worker.meet(self._started)
            for worker in started:
                worker.wait_ready()
        except BaseException:
            self.stop()
            raise

    def add_worker(self, cpus: int | None = None) -> None:
        """Start one more worker, with as many cpus as the others unless told otherwise; returns when it is ready."""
        if self._server is None:
            raise RainException("this cluster was stopped: start another with `rain.local()`")
        if cpus is not None:
            _check_count(cpus, f"a worker needs at least one cpu, found cpus={cpus!r}")
        worker = self._start_worker(cpus or self._cpus)
        worker.meet(self._started)
        worker.wait_ready()

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers that live, in the order of their start."""
        return [worker.pid for worker in self._workers if worker.alive]

    @property
    def server_pids(self) -> list[int]:
        """Process id of the server while it lives, in a list like that of the workers."""
        return [self._server.pid] if self._server is not None and self._server.alive else []

    def stop(self) -> None:
        """End everything and remove all files; repeatable. In a forked child it does nothing: the parent owns it."""
        if os.getpid() != self._pid:
            return
        programs = [*self._workers, *([self._server] if self._server else [])]
        if self._server is not None:
            # The server tells its workers to stop, which is quicker and cleaner than each noticing by itself.
            self._server.end()
        for worker in self._workers:
            worker.end()
        for program in programs:
            program.wait_ended()
        self._server = None
        self._workers.clear()
        shutil.rmtree(self._logs, ignore_errors=True)
        # What a server that was killed could not remove itself.
        sweep_stale(runtime_directory())
        sweep_owned(temporary_base())

    def __enter__(self) -> LocalCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_worker(self, cpus: int) -> ChildProgram:
        # The place among the workers says which gpus; that of a worker that has ended is free again.
        place = next(each for each in count() if each not in self._places or not self._places[each].alive)
        environment = gpu_environment(place * self._gpus, self._gpus, os.environ)
        config = WorkerConfig(
            cpus=cpus, gpus=self._gpus, memory_bytes=self._memory_bytes, share_store=self._share_store
        )
        # Its imports and its forkserver's take as long as those of the server: all of them start side by side.
        worker = self._places[place] = ChildProgram(
            config, embedded=True, log=log_file(self._logs, "worker"), environment=environment, before_server=True
        )
        self._workers.append(worker)
        return worker


def _check_count(value: object, complaint: str, *, least: int = 1) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise RainException(complaint)
