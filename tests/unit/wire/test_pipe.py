"""Pipes: round trips, partial messages, descriptors, and ends."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from rain.wire.pipe import MAX_BYTES, BlockingPipe, LoopPipe, PipeError

Pair = tuple[socket.socket, socket.socket]
BODIES = [b"", b"x", b"y" * 100, b"z" * 16_384, b"w" * 16_385, bytes(300_000), b"end"]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


class Loop:
    """The loop side and what it got."""

    def __init__(self, end: socket.socket) -> None:
        self.got: list[bytes] = []
        self.batches = 0
        self.ended: list[str] = []
        self._changed = asyncio.Event()
        self.pipe = LoopPipe(end, asyncio.get_running_loop(), self._batch, self._end)

    def _batch(self, bodies: list[bytes]) -> None:
        self.got += bodies
        self.batches += 1
        self._changed.set()

    def _end(self, reason: str) -> None:
        self.ended.append(reason)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await self._changed.wait()
                self._changed.clear()


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await scenario()

    asyncio.run(run())


def test_messages_of_all_sizes_go_both_ways_between_blocking_ends(pair: Pair) -> None:
    one, other = BlockingPipe(pair[0]), BlockingPipe(pair[1])

    def echo() -> None:
        while (body := other.recv()) is not None:
            other.send(body)

    thread = threading.Thread(target=echo)
    thread.start()
    for body in BODIES:
        one.send(body)
        assert one.recv() == body
    pair[0].shutdown(socket.SHUT_WR)
    thread.join()


def test_messages_of_all_sizes_come_from_a_blocking_end_to_a_loop(pair: Pair) -> None:
    async def scenario() -> None:
        near, far = Loop(pair[0]), BlockingPipe(pair[1])
        await asyncio.gather(
            asyncio.to_thread(lambda: [far.send(body) for body in BODIES]),
            near.until(lambda: len(near.got) == len(BODIES)),
        )
        assert near.got == BODIES
        near.pipe.close()

    play(scenario)


def test_messages_of_all_sizes_come_from_a_loop_to_a_blocking_end(pair: Pair) -> None:
    async def scenario() -> None:
        near, far = Loop(pair[0]), BlockingPipe(pair[1])
        for body in BODIES * 5:
            assert near.pipe.send(body)
        assert near.pipe.unsent_bytes > 0
        assert await asyncio.to_thread(lambda: [far.recv() for _ in BODIES * 5]) == BODIES * 5
        assert near.pipe.unsent_bytes == 0
        near.pipe.close()

    play(scenario)


def test_many_small_messages_come_in_one_batch(pair: Pair) -> None:
    async def scenario() -> None:
        far = BlockingPipe(pair[1])
        for number in range(100):
            far.send(b"%d" % number)
        near = Loop(pair[0])
        await near.until(lambda: len(near.got) == 100)
        assert near.batches == 1
        near.pipe.close()

    play(scenario)


def test_a_message_in_pieces_is_put_together(pair: Pair) -> None:
    async def scenario() -> None:
        near = Loop(pair[0])
        stream = b"\x03\x00\x00\x00abc\x02\x00\x00\x00de"
        for byte in stream[:-1]:
            pair[1].send(bytes([byte]))
            await asyncio.sleep(0)
        await near.until(lambda: near.got == [b"abc"])
        pair[1].send(stream[-1:])
        await near.until(lambda: near.got == [b"abc", b"de"])
        near.pipe.close()

    play(scenario)


def test_pending_tells_without_waiting(pair: Pair) -> None:
    pipe = BlockingPipe(pair[0])
    assert not pipe.pending()
    pair[1].send(b"\x02\x00\x00")
    assert not pipe.pending()
    pair[1].send(b"\x00ab\x01\x00\x00\x00c")
    assert pipe.pending()
    assert pipe.recv() == b"ab"
    assert pipe.pending()
    assert pipe.recv() == b"c"
    assert not pipe.pending()
    pair[1].close()
    assert not pipe.pending()
    assert pipe.recv() is None
    assert pipe.recv() is None


def test_half_a_message_at_the_end_is_no_message(pair: Pair) -> None:
    pair[1].send(b"\x01\x00\x00\x00a\x09\x00\x00\x00half")
    pair[1].close()
    pipe = BlockingPipe(pair[0])
    assert [pipe.recv(), pipe.recv()] == [b"a", None]


def test_a_message_that_is_too_long_is_refused_before_it_is_read(pair: Pair) -> None:
    pair[1].send((MAX_BYTES + 1).to_bytes(4, "little"))
    with pytest.raises(PipeError, match="at most"):
        BlockingPipe(pair[0]).recv()


def test_a_message_that_is_too_long_closes_a_loop_end(pair: Pair) -> None:
    async def scenario() -> None:
        near = Loop(pair[0])
        pair[1].send((MAX_BYTES + 1).to_bytes(4, "little"))
        await near.until(lambda: bool(near.ended))
        assert "at most" in near.ended[0]
        assert not near.pipe.send(b"x")

    play(scenario)


def test_the_end_is_reported_once_after_the_last_message(pair: Pair) -> None:
    async def scenario() -> None:
        near, far = Loop(pair[0]), BlockingPipe(pair[1])
        far.send(b"last words")
        far.close()
        await near.until(lambda: bool(near.ended))
        assert near.got == [b"last words"]
        assert near.ended == ["the other side closed the pipe"]
        near.pipe.close()
        assert len(near.ended) == 1

    play(scenario)


def test_sending_to_an_end_that_is_gone_is_no_error_in_the_loop(pair: Pair) -> None:
    async def scenario() -> None:
        near = Loop(pair[0])
        pair[1].close()
        near.pipe.send(b"x" * 100_000)
        await near.until(lambda: bool(near.ended))
        assert near.pipe.unsent_bytes == 0

    play(scenario)


def a_file(content: bytes) -> int:
    descriptor = os.memfd_create("test")
    os.write(descriptor, content)
    return descriptor


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def content_of(descriptor: int | None) -> bytes:
    assert descriptor is not None
    try:
        assert not os.get_inheritable(descriptor)
        return os.pread(descriptor, 100, 0)
    finally:
        os.close(descriptor)


def test_descriptors_travel_with_their_messages(pair: Pair) -> None:
    one, other = BlockingPipe(pair[0]), BlockingPipe(pair[1])
    for number in range(3):
        one.send(b"plain")
        descriptor = a_file(b"file %d" % number)
        one.send_with_fd(b"take %d" % number, descriptor)
        os.close(descriptor)
    for number in range(3):
        assert other.recv_with_fd() == (b"plain", None)
        body, received = other.recv_with_fd()
        assert body == b"take %d" % number
        assert content_of(received) == b"file %d" % number


def test_descriptors_leave_a_loop_even_when_the_pipe_is_full(pair: Pair) -> None:
    async def scenario() -> None:
        near, far = Loop(pair[0]), BlockingPipe(pair[1])
        near.pipe.send(bytes(1_000_000))
        descriptor = a_file(b"late")
        assert near.pipe.send_with_fd(b"take", descriptor)
        os.close(descriptor)
        near.pipe.send(b"plain")

        def read() -> None:
            assert far.recv() == bytes(1_000_000)
            body, received = far.recv_with_fd()
            assert (body, content_of(received)) == (b"take", b"late")
            assert far.recv_with_fd() == (b"plain", None)

        await asyncio.to_thread(read)
        near.pipe.close()

    play(scenario)


def test_descriptors_that_nobody_takes_are_closed(pair: Pair) -> None:
    before = open_descriptors()
    one, other = BlockingPipe(pair[0]), BlockingPipe(pair[1])
    descriptor = a_file(b"")
    one.send_with_fd(b"first", descriptor)
    assert other.recv() == b"first"
    one.send_with_fd(b"second", descriptor)
    assert other.pending()
    os.close(descriptor)
    one.close()
    other.close()
    assert open_descriptors() == before - 2


def test_an_announced_descriptor_that_is_missing_is_an_error(pair: Pair) -> None:
    pair[1].send((1 | 1 << 31).to_bytes(4, "little") + b"x")
    with pytest.raises(PipeError, match="without the file descriptor"):
        BlockingPipe(pair[0]).recv_with_fd()


def test_the_module_needs_neither_zmq_nor_tornado() -> None:
    program = "import sys, rain.wire.pipe; print([m for m in ('zmq', 'tornado', 'msgspec') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
