"""Makes executors by forking itself, and answers for the end of everything that they start.

    python -m rain.executor.forkserver --socket-fd N --store DIR --tasks DIR --stderr DIR [--remove DIR]

The worker talks to it over the inherited socket (`rain.protocol.executor`). It has imported all that an executor needs,
so an executor is ready within milliseconds. It has one thread, as forking needs, and lives until the worker closes the
socket: then it kills all executors with all their processes, and removes the folder named by --remove.
"""

from __future__ import annotations

import argparse
import gc
import os
import select
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import assert_never

import msgspec

from rain.deploy.process_tree import become_subreaper, children, kill_trees
from rain.executor.process import Folders, run_executor
from rain.executor.workplace import remove_tree
from rain.protocol.codec import encode
from rain.protocol.executor import Exited, Fork, ForkCounts, Forked, Kill, to_forkserver_decoder
from rain.wire.allocation import keep_freed_memory
from rain.wire.pipe import BlockingPipe

#: How long the end waits for killed processes; those that hang in the kernel are left to it.
_LAST_WAIT_S = 5.0
#: What an executor keeps of the memory that its last tasks have freed.
KEPT_BYTES = 64 << 20


class Forkserver:
    """Forks, reaps and kills executors, as the worker asks."""

    def __init__(self, sock: socket.socket, folders: Folders) -> None:
        self._socket = sock
        self._pipe = BlockingPipe(sock)
        self._folders = folders
        #: Process of each executor that is alive or not reaped yet, and the reverse.
        self._process_of: dict[int, int] = {}
        self._executor_of: dict[int, int] = {}
        #: Executors that ended, with how, whose orphans may still be there.
        self._ended: dict[int, int] = {}
        #: Sockets of executors whose `ForkCounts` has not come yet.
        self._incomplete: dict[int, int] = {}
        self._wakeup, wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup_write = wakeup_write
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Returns when the worker has closed the socket and all that executors started is gone."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        try:
            while self._answer_all():
                self._reap()
                poll.poll()
                self._drain_wakeup()
        except (BrokenPipeError, ConnectionResetError):
            pass  # The worker is gone.
        finally:
            self._end()

    def _answer_all(self) -> bool:
        """Carries out what has arrived; False when the worker is gone."""
        while self._pipe.pending():
            data, descriptor = self._pipe.recv_with_fd()
            if data is not None:
                self._answer(data, descriptor)
        return not self._worker_is_gone()

    def _worker_is_gone(self) -> bool:
        try:
            return not self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def _answer(self, data: bytes, descriptor: int | None) -> None:
        message = to_forkserver_decoder.decode(data)
        if isinstance(message, Fork):
            if descriptor is not None:
                self._incomplete[message.executor] = descriptor
        elif isinstance(message, ForkCounts):
            pipe = self._incomplete.pop(message.executor, None)
            if pipe is not None and descriptor is not None:
                self._fork(message.executor, pipe, descriptor)
        elif isinstance(message, Kill):
            process = self._process_of.get(message.executor)
            # One that ended already is answered, or about to be.
            if process is not None:
                kill_trees([process])
        else:
            assert_never(message)

    def _fork(self, executor: int, pipe: int, counts: int) -> None:
        parent = os.getpid()
        try:
            process = os.fork()
        except OSError as error:
            # Too many processes, or no memory: an executor that never was.
            os.close(pipe)
            os.close(counts)
            Path(f"{self._folders.output_stem(executor)}.stderr").write_text(f"cannot fork: {error.strerror}\n")
            self._tell(Exited(executor, 1, None))
            return
        if process == 0:
            self._run_in_child(executor, parent, pipe, counts)
        os.close(pipe)
        os.close(counts)
        self._process_of[executor] = process
        self._executor_of[process] = executor
        self._tell(Forked(executor, process))

    def _run_in_child(self, executor: int, parent: int, pipe: int, counts: int) -> None:
        """Never returns: what this process had open as a forkserver is closed, and its end is the executor's."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for descriptor in (self._wakeup, self._wakeup_write, *self._incomplete.values()):
                os.close(descriptor)
            self._pipe.close()
            run_executor(executor, parent, socket.socket(fileno=pipe), counts, self._folders)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            # Not sys.exit: nothing that was set up before the fork is this process's to tear down.
            os._exit(code)

    def _reap(self) -> None:
        """Collects what ended, kills what it left, and reports executors of which nothing is left."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if process == 0:
                break
            executor = self._executor_of.pop(process, None)
            if executor is not None:
                del self._process_of[executor]
                self._ended[executor] = status
        if not self._ended:
            return
        # Children that are no executors are orphans of executors that ended.
        orphans = children(os.getpid()) - self._executor_of.keys()
        if orphans:
            kill_trees(orphans)
            return  # Their ends wake us again.
        for executor, status in self._ended.items():
            remove_tree(self._folders.of_executor(executor))
            code = os.waitstatus_to_exitcode(status)
            self._tell(Exited(executor, code if code >= 0 else None, -code if code < 0 else None))
        self._ended.clear()

    def _tell(self, message: msgspec.Struct) -> None:
        self._pipe.send(encode(message))

    def _drain_wakeup(self) -> None:
        try:
            while os.read(self._wakeup, 4096):
                pass
        except BlockingIOError:
            pass

    def _end(self) -> None:
        deadline = time.monotonic() + _LAST_WAIT_S
        while left := children(os.getpid()):
            kill_trees(left)
            while True:
                try:
                    if os.waitpid(-1, os.WNOHANG)[0] == 0:
                        break
                except ChildProcessError:
                    break
            if time.monotonic() > deadline:
                break
            # Their ends write to the wakeup pipe.
            select.select([self._wakeup], [], [], 0.05)
            self._drain_wakeup()


def main(arguments: list[str]) -> None:
    """The program."""
    parser = argparse.ArgumentParser(prog="rain.executor.forkserver")
    parser.add_argument("--socket-fd", type=int, required=True)
    parser.add_argument("--store", required=True, help="folder of the worker's data objects")
    parser.add_argument("--tasks", required=True, help="folder in which executors make their tasks' folders")
    parser.add_argument("--stderr", required=True, help="folder for what tasks print: e<executor>.stderr, .stdout")
    parser.add_argument("--remove", help="folder to remove at the end")
    options = parser.parse_args(arguments)
    # A terminal's Ctrl-C goes to the whole group; the worker decides when its executors end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    become_subreaper()
    keep_freed_memory(KEPT_BYTES)
    # Forks share what exists now; the collector would unshare it by touching it.
    gc.disable()
    gc.collect()
    gc.freeze()
    sock = socket.socket(fileno=options.socket_fd)
    os.set_inheritable(options.socket_fd, False)
    folders = Folders(*(os.path.abspath(path) for path in (options.store, options.tasks, options.stderr)))
    try:
        Forkserver(sock, folders).serve()
    finally:
        if options.remove is not None:
            remove_tree(options.remove)


if __name__ == "__main__":
    main(sys.argv[1:])
