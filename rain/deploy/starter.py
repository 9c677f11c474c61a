"""The other side of `deploy.program`: a program tells its starter that it is ready, or why it cannot be, and notices
when the starter is gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from rain.core.config import Started, StartReport
from rain.core.errors import RainException


class Starter:
    """Whoever started this program: hears one JSON line on the inherited pipe, which is closed after it."""

    def __init__(self, ready_fd: int | None) -> None:
        self._ready_fd = ready_fd

    def tell(self, report: StartReport) -> None:
        """Only the first report is heard. A starter that does not listen any more is no error."""
        ready_fd, self._ready_fd = self._ready_fd, None
        if ready_fd is None:
            return
        with contextlib.suppress(OSError):
            os.write(ready_fd, msgspec.json.encode(report) + b"\n")
        with contextlib.suppress(OSError):
            os.close(ready_fd)


async def hear_server(server_fd: int) -> Started:
    """What the server said that was started together with this program, as soon as it is ready.

    Raises RainException where the starter says nothing, which means that there is no server.
    """
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[bytes] = loop.create_future()
    said = b""

    def readable() -> None:
        nonlocal said
        data = os.read(server_fd, 65536)
        said += data
        if (not data or said.endswith(b"\n")) and not heard.done():
            heard.set_result(said)

    loop.add_reader(server_fd, readable)
    try:
        line = await heard
    finally:
        loop.remove_reader(server_fd)
        os.close(server_fd)
    if not line.endswith(b"\n"):
        raise RainException("the server that was started together with this worker did not become ready")
    return msgspec.json.decode(line, type=Started)


def write_ready_file(name: str) -> Path:
    """The line `ready`; it appears complete or not at all. Returns the file. Raises RainException."""
    path = Path(name).expanduser()
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text("ready\n", encoding="utf-8")
        new.rename(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        reason = f"cannot write the ready file {path}: {error.strerror}. Name one in a folder that is there"
        raise RainException(reason) from error
    return path


def follow_lifeline(loop: asyncio.AbstractEventLoop, lifeline_fd: int, on_end: Callable[[], None]) -> None:
    """Call `on_end` once when the other end of the inherited pipe closes."""

    def readable() -> None:
        if not os.read(lifeline_fd, 4096):
            loop.remove_reader(lifeline_fd)
            os.close(lifeline_fd)
            on_end()

    loop.add_reader(lifeline_fd, readable)
