"""`rain.local()`: a cluster of this machine for the length of a `with` block."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rain.client.client import Client

if TYPE_CHECKING:
    from rain.deploy.local import LocalCluster


class LocalRain:
    """A server and workers as child processes, and the clients that were made of it; all end together."""

    def __init__(self, workers: int = 1, cpus: int | None = None, gpus: int = 0) -> None:
        from rain.deploy.local import LocalCluster

        self._cluster: LocalCluster = LocalCluster(workers=workers, cpus=cpus, gpus=gpus)
        self._clients: list[Client] = []

    def client(self) -> Client:
        """A client of this cluster; the cluster's end closes it."""
        client = Client(access=self._cluster.access_path)
        self._clients.append(client)
        return client

    def add_worker(self, cpus: int | None = None) -> None:
        """Starts one more worker; returns when it is ready."""
        self._cluster.add_worker(cpus)

    def stop(self) -> None:
        """Ends everything and removes all files; repeatable."""
        clients, self._clients = self._clients, []
        try:
            for client in clients:
                client.close()
        finally:
            # Also where Ctrl-C ended that.
            self._cluster.stop()

    def __enter__(self) -> LocalRain:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def local(workers: int = 1, cpus: int | None = None, gpus: int = 0) -> LocalRain:
    """Starts a cluster on this machine, ready when this returns; use it in a `with` statement.

    `cpus`: of each worker; None: all that this process may use, shared evenly. `gpus`: of each worker.
    """
    return LocalRain(workers, cpus, gpus)
