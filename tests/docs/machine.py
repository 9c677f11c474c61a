"""The machine on which a page runs: an own runtime folder, an own default port, and a `rain` and an `ssh` to type."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.command_line import path_with_stand_ins, write_script


class Machine:
    """Sees no clusters but its own; the port that Rain takes without being told one is a free one here."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        (folder / "run").mkdir(mode=0o700)
        self.environment = {
            **os.environ,
            **path_with_stand_ins(folder),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "SLURM_JOB_NODELIST": "node[1-2]",
        }
        write_script(folder / "scontrol", 'printf "node1\\nnode2\\n"\n')
        self.set_port(port)

    def set_port(self, port: int) -> None:
        """Makes this the default port, of the command line too."""
        self.port = port
        program = (
            f"from rain.core import config; config.DEFAULT_PORT = {port}; config.DEFAULT_HTTP_PORT = 0; "
            "from rain.cli.main import main; main()"
        )
        write_script(self._folder / "rain", f"exec {sys.executable} -c '{program}' \"$@\"\n")

    def rain(self, *words: str) -> str:
        """What a `rain` command says."""
        return subprocess.run(
            [self._folder / "rain", *words],
            env=self.environment,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        ).stdout

    def enter(self, patch: pytest.MonkeyPatch) -> None:
        """Has the test's own process run on this machine."""
        for name in ("XDG_RUNTIME_DIR", "PATH"):
            patch.setenv(name, self.environment[name])
        patch.setattr("rain.client.connect.DEFAULT_PORT", self.port)


@contextmanager
def new_machine() -> Iterator[Machine]:
    """A machine on which nothing runs; what was started there is stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="doc-") as folder:
        machine = Machine(Path(folder), _free_port())
        try:
            yield machine
        finally:
            machine.rain("stop", "--all")


def start_cluster(machine: Machine) -> None:
    """Starts two workers of two cpus each on a free port, which becomes the default one."""
    said = machine.rain("run", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--local-workers", "[2,2]")
    found = re.search(r"server 127\.0\.0\.1:(\d+)", said)
    assert found, said
    machine.set_port(int(found[1]))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
