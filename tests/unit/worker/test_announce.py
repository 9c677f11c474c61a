"""A worker's words to its starter."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from rain.core.config import Started, StartFailed, StartReport, WorkerConfig
from rain.core.errors import RainException
from rain.worker.announce import Announcement, watch_lifeline


def said(ready: int) -> StartReport | None:
    data = os.read(ready, 65536)
    os.close(ready)
    return msgspec.json.decode(data, type=StartReport) if data else None


def test_ready_is_one_line_and_a_file_that_goes_with_the_worker(tmp_path: Path) -> None:
    ready, ready_fd = os.pipe()
    file = tmp_path / "ready"
    announcement = Announcement(WorkerConfig(ready_fd=ready_fd, ready_file=str(file)))
    announcement.ready(77)
    assert file.read_text() == "ready\n"
    announcement.failed("too late to be heard")
    assert said(ready) == Started(pid=os.getpid(), port=77)
    announcement.withdraw()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_is_said_once() -> None:
    ready, ready_fd = os.pipe()
    announcement = Announcement(WorkerConfig(ready_fd=ready_fd))
    announcement.failed("no luck")
    announcement.failed("never heard")
    announcement.withdraw()
    assert said(ready) == StartFailed("no luck")


def test_a_starter_that_left_or_never_was_is_no_error() -> None:
    ready, ready_fd = os.pipe()
    os.close(ready)
    Announcement(WorkerConfig(ready_fd=ready_fd)).ready(1)
    Announcement(WorkerConfig()).ready(1)


def test_a_ready_file_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    announcement = Announcement(WorkerConfig(ready_file=str(tmp_path / "none" / "ready")))
    with pytest.raises(RainException, match="folder that is there"):
        announcement.ready(1)


def test_the_end_of_the_lifeline_is_noticed_once() -> None:
    async def main() -> None:
        lifeline_fd, lifeline = os.pipe()
        ended = asyncio.Event()
        watch_lifeline(asyncio.get_running_loop(), lifeline_fd, ended.set)
        os.close(lifeline)
        async with asyncio.timeout(10):
            await ended.wait()

    asyncio.run(main())
