"""What a program says to whoever started it: once, and nobody's absence hurts."""

from __future__ import annotations

import asyncio
import os

import msgspec
import pytest

from rain.core.config import Started, StartFailed, StartReport
from rain.core.errors import RainException
from rain.deploy.starter import Starter, follow_lifeline, hear_server, write_ready_file


def test_only_the_first_report_is_said_and_the_pipe_is_closed_after_it():
    reader, writer = os.pipe()
    starter = Starter(writer)
    starter.tell(StartFailed("first"))
    starter.tell(StartFailed("second"))
    with os.fdopen(reader, "rb") as pipe:
        [line] = pipe.read().splitlines()
    assert msgspec.json.decode(line, type=StartReport) == StartFailed("first")


def test_a_starter_that_is_gone_or_never_was_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    Starter(writer).tell(StartFailed("unheard"))
    Starter(None).tell(StartFailed("unheard"))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writer)


def test_the_ready_file_holds_one_line(tmp_path):
    assert write_ready_file(str(tmp_path / "ready")).read_text() == "ready\n"
    assert [path.name for path in tmp_path.iterdir()] == ["ready"]


def test_a_ready_file_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(RainException, match="cannot write the ready file"):
        write_ready_file(str(tmp_path / "no" / "ready"))


def test_the_end_of_the_lifeline_is_noticed_once_whatever_was_written_to_it():
    async def follow() -> int:
        ended = asyncio.Event()
        reader, writer = os.pipe()
        calls = []
        follow_lifeline(asyncio.get_running_loop(), reader, lambda: (calls.append(1), ended.set()))
        os.write(writer, b"still here")
        os.close(writer)
        async with asyncio.timeout(10):
            await ended.wait()
        return len(calls)

    assert asyncio.run(follow()) == 1


def test_a_worker_hears_of_its_server_however_the_words_arrive():
    said = Started(pid=1, port=7, client_access="c", worker_access="w")
    line = msgspec.json.encode(said) + b"\n"

    async def hear() -> Started:
        reader, writer = os.pipe()
        heard = asyncio.create_task(hear_server(reader))
        os.write(writer, line[:10])
        await asyncio.sleep(0)
        os.write(writer, line[10:])
        try:
            async with asyncio.timeout(10):
                return await heard
        finally:
            os.close(writer)
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(reader)

    assert asyncio.run(hear()) == said


def test_a_worker_whose_server_did_not_become_ready_says_so():
    async def hear() -> None:
        reader, writer = os.pipe()
        os.close(writer)
        async with asyncio.timeout(10):
            await hear_server(reader)

    with pytest.raises(RainException, match="did not become ready"):
        asyncio.run(hear())
