"""Tells whoever started this worker that it is ready, or why it cannot be, and notices when they are gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from rain.core.config import Started, StartFailed, StartReport, WorkerConfig
from rain.core.errors import RainException


class Announcement:
    """The worker's words to its starter: one report at most, and a ready file that goes with the worker."""

    def __init__(self, config: WorkerConfig) -> None:
        self._ready_fd = config.ready_fd
        self._ready_file = Path(config.ready_file).expanduser() if config.ready_file else None
        self._wrote_file = False
        #: The worker was ready once.
        self.made = False

    def ready(self, port: int) -> None:
        """Says that the first tasks can start at once; `port` is that of the data endpoint. Raises RainException."""
        if self._ready_file is not None:
            _write_whole(self._ready_file, "ready\n")
            self._wrote_file = True
        self.made = True
        self._report(Started(pid=os.getpid(), port=port))

    def failed(self, reason: str) -> None:
        """Says why the worker cannot start; nothing once it was ready."""
        self._report(StartFailed(reason))

    def withdraw(self) -> None:
        """Removes the ready file: the worker ends."""
        if self._wrote_file and self._ready_file is not None:
            self._ready_file.unlink(missing_ok=True)

    def _report(self, report: StartReport) -> None:
        ready_fd, self._ready_fd = self._ready_fd, None
        if ready_fd is None:
            return
        # A starter that does not listen any more is no error.
        with contextlib.suppress(OSError):
            os.write(ready_fd, msgspec.json.encode(report) + b"\n")
        with contextlib.suppress(OSError):
            os.close(ready_fd)


def watch_lifeline(loop: asyncio.AbstractEventLoop, lifeline_fd: int, on_end: Callable[[], None]) -> None:
    """Calls `on_end` once when the other end of the inherited pipe closes."""

    def readable() -> None:
        if not os.read(lifeline_fd, 4096):
            loop.remove_reader(lifeline_fd)
            os.close(lifeline_fd)
            on_end()

    loop.add_reader(lifeline_fd, readable)


def _write_whole(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(text, encoding="utf-8")
        new.rename(path)
    except OSError as error:
        raise RainException(
            f"cannot write the ready file {path}: {error.strerror}. Name one in a folder that is there"
        ) from error
