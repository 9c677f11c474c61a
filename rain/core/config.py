"""The configuration of each program: one frozen struct, read once and passed down.

The command line and `rain.deploy` build it, and hand it to a program as one JSON argument
(`python -m rain.server JSON`); no secret ever stands in it.
"""

from __future__ import annotations

import msgspec

DEFAULT_PORT = 7210
DEFAULT_HTTP_PORT = 7222


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a server is told when it starts."""

    #: Port 0 takes a free one.
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    http_host: str = "127.0.0.1"
    #: None: the default port, or a free one where that is in use.
    http_port: int | None = None
    #: "run": belongs to the user until `rain stop`; "local": embedded in a client, found by nobody else.
    kind: str = "run"
    #: It ends itself when there was neither a client nor a session for so many seconds; None: never.
    idle_end_s: float | None = None
    #: Folder for what clients upload; None: a fresh one below `<tmp>/rain-<uid>/`.
    workdir: str | None = None
    #: Programs of this user on this machine may link the files in it.
    share_store: bool = True
    #: Log file's folder; None: standard error.
    logdir: str | None = None
    #: Gets the line `ready` when clients are accepted.
    ready_file: str | None = None
    #: Inherited pipe: gets one JSON line, a `Started` or a `StartFailed`, then is closed.
    ready_fd: int | None = None
    #: Inherited pipe: the program ends when its other end closes.
    lifeline_fd: int | None = None


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a worker is told when it starts."""

    server_host: str = "127.0.0.1"
    server_port: int = DEFAULT_PORT
    #: Access file of the worker role; None: found by server and port.
    access: str | None = None
    #: None: as many as the process may use (affinity and cgroup).
    cpus: int | None = None
    gpus: int = 0
    memory_bytes: int | None = None
    #: Named resources and their amounts.
    resources: tuple[tuple[str, int], ...] = ()
    #: Where the data endpoint listens; None: the address from which the server is reached.
    host: str | None = None
    port: int = 0
    #: Data and task folders; None: below `<tmp>/rain-<uid>/`.
    workdir: str | None = None
    #: Programs of this user on this machine may link its files, and it links theirs, instead of sending bytes.
    share_store: bool = True
    logdir: str | None = None
    #: Gets the line `ready` when the worker is registered and its executors stand ready.
    ready_file: str | None = None
    ready_fd: int | None = None
    lifeline_fd: int | None = None
    #: Inherited pipe of a worker that starts together with its server: gets that one's `Started` as one JSON line, and
    #: port and access file are taken from it.
    server_fd: int | None = None


class Started(msgspec.Struct, frozen=True, tag="started"):
    """What a program says on its `ready_fd` when it is ready."""

    pid: int
    #: The server's control port; a worker's data port.
    port: int
    #: The server's HTTP port; 0 for a worker.
    http_port: int = 0
    #: The server's access file for clients and for workers; "" for a worker.
    client_access: str = ""
    worker_access: str = ""


class StartFailed(msgspec.Struct, frozen=True, tag="start_failed"):
    """What a program says on its `ready_fd` when it cannot start; the text is for the user."""

    reason: str


StartReport = Started | StartFailed
