"""The process that makes executors, as its worker sees it: started, connected, ended."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys

from rain.deploy.ended import wait_ended
from rain.deploy.process_tree import become_subreaper, children, kill_new_children
from rain.worker.folders import WorkerFolders

_log = logging.getLogger("rain.worker.forkserver")

#: It kills everything that executors started first; beyond this it is killed itself, and its executors die with it.
END_LIMIT_S = 6.0


class ForkserverProcess:
    """A forkserver that starts at once, so that it is warm when the worker needs its first executor."""

    def __init__(self, folders: WorkerFolders) -> None:
        become_subreaper()
        self._before = children(os.getpid())
        #: Our end of the connection; it ends when this is closed.
        self.socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                _command(theirs.fileno(), folders),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # Ctrl-C in the terminal is for the worker, which ends its executors in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def was_killed(self) -> bool:
        """It is gone, and somebody killed it: it did not end by itself, nor for a mistake of its own."""
        return self._process.returncode is not None and self._process.returncode < 0

    def end(self) -> None:
        """Has it end all executors and itself; returns when it is gone. Repeatable."""
        self.socket.close()
        if self._process.poll() is None and wait_ended([self._process.pid], END_LIMIT_S):
            _log.warning("the forkserver did not end within %g s and is killed", END_LIMIT_S)
            self._process.kill()
        self._process.wait()
        if self.was_killed:
            # Its executors died with it: what those had started has become ours.
            kill_new_children(self._before)


def _command(socket_fd: int, folders: WorkerFolders) -> list[str]:
    options = {
        "--socket-fd": str(socket_fd),
        "--store": str(folders.store),
        "--tasks": str(folders.tasks),
        "--stderr": str(folders.stderr),
        # The worker removes it, too, unless it is killed.
        "--remove": str(folders.root),
    }
    return [sys.executable, "-m", "rain.executor.forkserver", *(word for option in options.items() for word in option)]
