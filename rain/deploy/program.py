"""One program of a cluster as a child process: started by module name, followed until it is ready, and ended.

The child says on an inherited pipe that it is ready, or why it cannot start, so that whoever starts a cluster waits no
longer than needed and shows the child's own error. Through a second pipe, the lifeline, a child notices that its owner
is gone, however that went.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from rain.core.config import ServerConfig, Started, StartReport, WorkerConfig
from rain.core.errors import RainException
from rain.deploy.ended import wait_ended

#: How long a program may take to be ready before it is given up.
START_LIMIT_S = 30.0
#: How long a program may take to end by itself before it is killed.
STOP_LIMIT_S = 8.0
#: How much of a log is shown when a program died without a word.
LOG_TAIL_BYTES = 2000


class ChildProgram:
    """A running server or worker.

    `embedded` programs end with this process; the others are detached from the terminal and outlive it.
    `prefix`: words before the command, such as a profiler. `log`: where standard output and error go; None: inherited.
    `environment`: variables besides those of this process. `before_server`: a worker that is told by `meet` where its
    server is, and prepares meanwhile what needs no server.
    """

    def __init__(
        self,
        config: ServerConfig | WorkerConfig,
        *,
        embedded: bool,
        prefix: Sequence[str] = (),
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
        before_server: bool = False,
    ) -> None:
        self.role = "server" if isinstance(config, ServerConfig) else "worker"
        self._log = log
        ready, ready_fd = os.pipe()
        lifeline_fd, lifeline = os.pipe() if embedded else (None, None)
        self._ready: int | None = ready
        self._lifeline: int | None = lifeline
        server_fd, server = os.pipe() if before_server else (None, None)
        self._server: int | None = server
        inherited = [fd for fd in (ready_fd, lifeline_fd, server_fd) if fd is not None]
        config = msgspec.structs.replace(config, ready_fd=ready_fd, lifeline_fd=lifeline_fd)
        if isinstance(config, WorkerConfig):
            config = msgspec.structs.replace(config, server_fd=server_fd)
        command = [*prefix, sys.executable, "-m", f"rain.{self.role}", msgspec.json.encode(config).decode()]
        try:
            self._process = _spawn(
                command, inherited, log, {**os.environ, **(environment or {})}, detached=not embedded
            )
        except OSError as error:
            self._close_pipes()
            raise RainException(f"the {self.role} cannot be started: {error.strerror}: {command[0]}") from error
        finally:
            for fd in inherited:
                os.close(fd)

    @property
    def pid(self) -> int:
        """The process id; with a prefix, that of the prefix's program."""
        return self._process.pid

    def meet(self, server: Started) -> None:
        """Tell a worker that was started before its server where that is; one that is gone is found by `wait_ready`."""
        if self._server is not None:
            with contextlib.suppress(OSError):
                os.write(self._server, msgspec.json.encode(server) + b"\n")
            os.close(self._server)
            self._server = None

    def wait_ready(self, limit_s: float = START_LIMIT_S) -> Started:
        """What the program says when it is ready. Raises RainException with the program's own error, and it is gone."""
        said = self._read_report(time.monotonic() + limit_s)
        if said:
            report: StartReport = msgspec.json.decode(said, type=StartReport)
            if isinstance(report, Started):
                return report
            self.kill()
            raise RainException(report.reason)
        reason = self._describe_silence(limit_s)
        self.kill()
        raise RainException(reason)

    def let_go(self) -> None:
        """Stop looking after a detached program; it goes on."""
        self._close_pipes()
        # A detached child is not ours to wait for: without this, Popen warns when it is collected.
        self._process.returncode = 0

    def end(self) -> None:
        """Ask the program to end; `wait_ended` sees to it that it does."""
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        elif self._process.poll() is None:
            self._process.terminate()

    def wait_ended(self, limit_s: float = STOP_LIMIT_S) -> None:
        """Wait until the process is gone; kill it when that takes too long."""
        # Not `Popen.wait` with a limit, which sleeps up to 50 ms between looks.
        if self._process.poll() is None and wait_ended([self.pid], limit_s):
            self.kill()
        self._process.wait()
        self._close_pipes()

    def kill(self) -> None:
        """End the process at once; its own children notice and end themselves."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        self._close_pipes()

    @property
    def alive(self) -> bool:
        """The process has not ended."""
        return self._process.poll() is None

    def _read_report(self, deadline: float) -> bytes:
        said = b""
        while not said.endswith(b"\n"):
            left = deadline - time.monotonic()
            if self._ready is None or left <= 0 or not select.select([self._ready], [], [], left)[0]:
                return b""
            data = os.read(self._ready, 65536)
            if not data:
                return b""
            said += data
        return said

    def _describe_silence(self, limit_s: float) -> str:
        status = self._process.poll()
        if status is None:
            wait_ended([self.pid], 0.5)
            status = self._process.poll()
        tail = _tail(self._log) if self._log else ""
        shown = f"; the end of {self._log}:\n{tail}" if tail else ""
        if status is None:
            return f"the {self.role} was not ready within {limit_s:g} s and was stopped{shown}"
        return f"the {self.role} ended with status {status} before it was ready{shown}"

    def _close_pipes(self) -> None:
        for name in ("_ready", "_lifeline", "_server"):
            fd = getattr(self, name)
            if fd is not None:
                os.close(fd)
                setattr(self, name, None)


def _spawn(
    command: list[str], inherited: list[int], log: Path | None, environment: dict[str, str], *, detached: bool
) -> subprocess.Popen[bytes]:
    with contextlib.ExitStack() as stack:
        output = None
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            output = stack.enter_context(log.open("ab"))
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            env=environment,
            pass_fds=inherited,
            # Ctrl-C in the terminal is for the user's program, not for its cluster.
            start_new_session=True,
            cwd="/" if detached else None,
        )


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""
