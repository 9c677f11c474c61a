"""Workers on other hosts, started over ssh.

The remote command is `rain worker … --background --access -`: the worker's access file goes over ssh's standard input,
never over a command line, and ssh returns when the worker is ready or shows the worker's own error.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rain.core.errors import RainException

#: Connecting and starting Python on a busy cluster's login node takes its time.
SSH_LIMIT_S = 90.0


class RemoteWorkers:
    """One worker per host, all started at once.

    `server`: "host:port" as the hosts reach it. `options`: words added to `rain worker`. `init`: shell lines run first,
    such as loading a module or activating an environment. `ssh`: the program and its options.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        server: str,
        access: Path,
        options: Sequence[str] = (),
        prefix: Sequence[str] = (),
        init: str = "",
        ssh: Sequence[str] = ("ssh", "-o", "BatchMode=yes"),
    ) -> None:
        words = [*prefix, "rain", "worker", server, "--access", "-", "--background", *options]
        command = shlex.join(words)
        self._script = f"{init}\n{command}" if init else command
        self._starting = [(host, _start([*ssh, host, self._script], access)) for host in hosts]

    def wait_ready(self, limit_s: float = SSH_LIMIT_S) -> None:
        """Returns when all are ready. Raises RainException that names every host that failed, with its own words."""
        problems = []
        for host, process in self._starting:
            try:
                output, _ = process.communicate(timeout=limit_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                problems.append(f"{host}: not ready within {limit_s:g} s")
                continue
            if process.returncode != 0:
                said = output.decode(errors="replace").strip() or "no output"
                problems.append(f"{host}: status {process.returncode}: {said}")
        if problems:
            raise RainException("remote workers could not be started:\n" + "\n".join(problems))


def _start(command: list[str], access: Path) -> subprocess.Popen[bytes]:
    with access.open("rb") as stdin:
        try:
            return subprocess.Popen(
                command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            raise RainException(f"{command[0]} cannot be started: {error.strerror}") from error
