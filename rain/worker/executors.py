"""The worker's executors as processes: made and killed by the forkserver, talked to over one pipe each.

An executor's end is reported when the forkserver says that nothing of it is left, and after everything that it had
said. Called by the shell, which knows what tasks are.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from rain.core.errors import ProtocolViolation
from rain.core.note import MAX_CAPTURED_BYTES
from rain.protocol.codec import encode
from rain.protocol.executor import (
    Exited,
    Fork,
    ForkCounts,
    Kill,
    Progressed,
    Ready,
    Report,
    ToExecutor,
    from_executor_decoder,
    from_forkserver_decoder,
)
from rain.wire.pipe import LoopPipe
from rain.worker.folders import WorkerFolders, remove_folder
from rain.worker.forkserver import ForkserverProcess

_log = logging.getLogger("rain.worker.executors")

#: Two u64: tasks begun and ended since the executor's start.
_COUNTS = struct.Struct("=QQ")
#: An executor that is gone has closed its pipe; should somebody else hold it open, no more is read after this time.
DRAIN_LIMIT_S = 1.0


class Observer(Protocol):
    """Who hears of executors."""

    def executor_ready(self, executor: int) -> None: ...

    def executor_reported(self, executor: int, report: Report) -> None: ...

    def executor_progressed(self, executor: int, message: Progressed) -> None: ...

    def executor_ended(self, executor: int, ending: ProcessEnd) -> None: ...

    def forkserver_died(self) -> None: ...


class ProcessEnd(msgspec.Struct, frozen=True):
    """How an executor ended: exit code or signal, tasks that it had begun, and the ends of what it wrote."""

    exit_code: int | None
    signal: int | None
    n_started: int
    stderr: str
    stdout: str = ""


@dataclass(slots=True, eq=False)
class _Process:
    """One executor."""

    number: int
    pipe: LoopPipe
    #: The memory in which it counts.
    counts_fd: int
    #: The pipe has been read to its end.
    is_drained: bool = False
    exited: Exited | None = None
    drain_timer: asyncio.TimerHandle | None = None


class Executors:
    """All executors of a worker, and the forkserver that makes them."""

    def __init__(self, forkserver: ForkserverProcess, folders: WorkerFolders, observer: Observer) -> None:
        """Takes over the forkserver; in a running loop."""
        self._folders = folders
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._processes: dict[int, _Process] = {}
        self._closing = False
        self._forkserver = forkserver
        self._pipe = LoopPipe(forkserver.socket, self._loop, self._forkserver_said, self._forkserver_gone)

    def start(self, executor: int) -> None:
        """Has an executor made; it says by itself when it is ready."""
        ours, theirs = socket.socketpair()
        counts_fd = os.memfd_create(f"rain-counts-{executor}", os.MFD_CLOEXEC)
        os.ftruncate(counts_fd, _COUNTS.size)
        process = _Process(executor, self._open_pipe(executor, ours), counts_fd)
        self._processes[executor] = process
        with theirs:
            self._pipe.send_with_fd(encode(Fork(executor)), theirs.fileno())
        self._pipe.send_with_fd(encode(ForkCounts(executor)), counts_fd)

    def send(self, executor: int, message: ToExecutor) -> None:
        """Sends to an executor; one that is gone is reported as ended anyway."""
        process = self._processes.get(executor)
        if process is not None:
            process.pipe.send(encode(message))

    def kill(self, executor: int) -> None:
        """Has an executor killed, with everything that it started."""
        if executor in self._processes:
            self._pipe.send(encode(Kill(executor)))

    async def close(self) -> None:
        """Ends all executors and the forkserver; returns when nothing of them is left."""
        self._closing = True
        # The forkserver ends all when its pipe closes; until then executors must not find theirs closed.
        self._pipe.close()
        await asyncio.to_thread(self._forkserver.end)
        for process in self._processes.values():
            if process.drain_timer is not None:
                process.drain_timer.cancel()
            process.pipe.close()
            os.close(process.counts_fd)
        self._processes.clear()

    def _open_pipe(self, executor: int, sock: socket.socket) -> LoopPipe:
        def closed(reason: str) -> None:
            # The process is about to end by itself, or its task closed what it should not: then it is of no use.
            self._loop.call_later(DRAIN_LIMIT_S, self.kill, executor)
            self._drained(executor)

        return LoopPipe(sock, self._loop, lambda batch: self._said(executor, batch), closed)

    def _said(self, executor: int, batch: list[bytes]) -> None:
        if self._closing:
            return
        try:
            for data in batch:
                message = from_executor_decoder.decode(data)
                if isinstance(message, Ready):
                    self._observer.executor_ready(executor)
                elif isinstance(message, Progressed):
                    self._observer.executor_progressed(executor, message)
                else:
                    self._observer.executor_reported(executor, message)
        except ProtocolViolation as violation:
            _log.error("executor %d is killed, it speaks nonsense: %s", executor, violation)
            self.kill(executor)

    def _forkserver_said(self, batch: list[bytes]) -> None:
        for data in batch:
            message = from_forkserver_decoder.decode(data)
            process = self._processes.get(message.executor)
            if process is None or not isinstance(message, Exited):
                continue
            self._ended(process, message)

    def _ended(self, process: _Process, exited: Exited) -> None:
        if process.exited is not None:
            return
        process.exited = exited
        if process.is_drained:
            self._report_end(process)
        else:
            process.drain_timer = self._loop.call_later(DRAIN_LIMIT_S, self._drained, process.number)

    def _forkserver_gone(self, reason: str) -> None:
        if self._closing:
            return
        self._forkserver.end()
        if not self._forkserver.was_killed:
            _log.error("the forkserver is gone (%s), so this worker cannot run tasks any more", reason)
            self._observer.forkserver_died()
            return
        # Most likely by a task, which must not take worker after worker with it.
        _log.error("the forkserver was killed, and all executors with it; they are replaced")
        self._forkserver = ForkserverProcess(self._folders)
        self._pipe = LoopPipe(self._forkserver.socket, self._loop, self._forkserver_said, self._forkserver_gone)
        for process in list(self._processes.values()):
            remove_folder(self._folders.tasks / f"e{process.number}")
            self._ended(process, Exited(process.number, None, signal.SIGKILL))

    def _drained(self, executor: int) -> None:
        process = self._processes.get(executor)
        if process is None:
            return
        process.is_drained = True
        if process.exited is not None:
            self._report_end(process)

    def _report_end(self, process: _Process) -> None:
        assert process.exited is not None
        del self._processes[process.number]
        if process.drain_timer is not None:
            process.drain_timer.cancel()
        process.pipe.close()
        n_started, _ = _COUNTS.unpack(os.pread(process.counts_fd, _COUNTS.size, 0))
        os.close(process.counts_fd)
        exited = process.exited
        if not self._closing:
            self._remove_half_results(process.number)
            stdout, stderr = self._take_output(process.number)
            self._observer.executor_ended(
                process.number, ProcessEnd(exited.exit_code, exited.signal, n_started, stderr, stdout)
            )

    def _remove_half_results(self, executor: int) -> None:
        """What the executor was writing into the store when it was killed."""
        for path in self._folders.store.glob(f".e{executor}.*"):
            remove_folder(path)

    def _take_output(self, executor: int) -> tuple[str, str]:
        """The ends of what the executor wrote since its last task ended; its files are not needed any more."""
        stdout, stderr = (self._take(f"e{executor}.{stream}") for stream in ("stdout", "stderr"))
        return stdout, stderr

    def _take(self, name: str) -> str:
        """The end of a captured stream, and of what a program wrote there that was to become an output."""
        files = self._folders.stderr / name, self._folders.stderr / f"{name}.output"
        text = "".join(map(_tail, files))
        for file in files:
            file.unlink(missing_ok=True)
        return text


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - MAX_CAPTURED_BYTES)
            file.seek(start)
            text = file.read(MAX_CAPTURED_BYTES).decode(errors="replace")
            return f"… {start} bytes cut off …\n{text}" if start else text
    except OSError:
        return ""
