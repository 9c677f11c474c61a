"""Messages between a worker and the processes it starts, over a socket pair: no port, no keys, no zmq.

A message is a 32-bit little-endian length and that many bytes. The top bit of the length says that an open file
descriptor travels with it. The executor's side blocks, the worker's side belongs to an event loop.
"""

from __future__ import annotations

import array
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

#: A longer message is refused before anything is allocated for it.
MAX_BYTES: Final = 256 * 1024 * 1024
_READ_BYTES: Final = 256 * 1024
_HEADER_BYTES: Final = 4
_WITH_DESCRIPTOR: Final = 1 << 31
#: Up to this size header and body are joined, which is cheaper than gathering them.
_JOIN_BYTES: Final = 16 * 1024
_MAX_DESCRIPTORS: Final = 16


class PipeError(Exception):
    """The other side sent something that is no message."""


class _Splitter:
    """Cuts a stream of bytes into messages."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, bool]]:
        """The messages that are complete now, each with whether a descriptor came with it. Raises PipeError."""
        buffer = self._buffer
        buffer += data
        messages = []
        start = 0
        available = len(buffer)
        while available - start >= _HEADER_BYTES:
            word = int.from_bytes(buffer[start : start + _HEADER_BYTES], "little")
            size = word & ~_WITH_DESCRIPTOR
            if size > MAX_BYTES:
                raise PipeError(f"a message of {size} bytes was announced, at most {MAX_BYTES} are allowed")
            end = start + _HEADER_BYTES + size
            if end > available:
                break
            messages.append((bytes(memoryview(buffer)[start + _HEADER_BYTES : end]), word != size))
            start = end
        if start:
            del buffer[:start]
        return messages


def _header(size: int, flag: int = 0) -> bytes:
    if size > MAX_BYTES:
        raise ValueError(f"a message of {size} bytes is too long for a pipe, at most {MAX_BYTES} are allowed")
    return (size | flag).to_bytes(_HEADER_BYTES, "little")


def _ancillary(descriptor: int) -> list[tuple[int, int, array.array[int]]]:
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]


class BlockingPipe:
    """The side that waits; one thread at a time sends, one at a time receives."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        self._socket = sock
        self._splitter = _Splitter()
        self._arrived: deque[tuple[bytes, bool]] = deque()
        self._descriptors: deque[int] = deque()
        self._at_end = False

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        """Sends one message; waits while the other side does not read. Raises OSError when it is gone."""
        header = _header(len(data))
        if len(data) <= _JOIN_BYTES:
            self._socket.sendall(header + data)
        else:
            self._socket.sendall(header)
            self._socket.sendall(data)

    def send_with_fd(self, data: bytes, descriptor: int) -> None:
        """Sends a message and a copy of an open file descriptor, which the caller may then close."""
        self._socket.sendmsg([_header(len(data), _WITH_DESCRIPTOR)], _ancillary(descriptor))
        self._socket.sendall(data)

    def recv(self) -> bytes | None:
        """The next message; None when the other side is gone. A descriptor that came with it is closed."""
        message, descriptor = self.recv_with_fd()
        if descriptor is not None:
            os.close(descriptor)
        return message

    def recv_with_fd(self) -> tuple[bytes | None, int | None]:
        """The next message, None when the other side is gone, and the descriptor that came with it, if any.

        The descriptor is the caller's to close. Raises PipeError.
        """
        while not self._arrived:
            if self._at_end:
                return None, None
            self._read(0)
        body, with_descriptor = self._arrived.popleft()
        if not with_descriptor:
            return body, None
        if not self._descriptors:
            raise PipeError("a message came without the file descriptor that it announced")
        return body, self._descriptors.popleft()

    def pending(self) -> bool:
        """Whether the next `recv` returns a message at once; never waits."""
        while not self._arrived and not self._at_end:
            try:
                self._read(socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
        return bool(self._arrived)

    def close(self) -> None:
        """Closes the socket and descriptors that nobody asked for."""
        self._socket.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def _read(self, flags: int) -> None:
        space = socket.CMSG_SPACE(_MAX_DESCRIPTORS * array.array("i").itemsize)
        try:
            data, ancillary, _, _ = self._socket.recvmsg(_READ_BYTES, space, flags | socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            data, ancillary = b"", []
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received = array.array("i")
                received.frombytes(content[: len(content) - len(content) % received.itemsize])
                self._descriptors.extend(received)
        if data:
            self._arrived.extend(self._splitter.feed(data))
        else:
            self._at_end = True


class LoopPipe:
    """The side in an event loop; nothing here waits.

    `on_batch` gets the bodies of all messages that came in one wake. `on_closed(reason)` is called once, after the last
    batch, when the other side is gone or sent what is no message; not after `close`.
    """

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        on_batch: Callable[[list[bytes]], None],
        on_closed: Callable[[str], None],
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._loop = loop
        self._on_batch = on_batch
        self._on_closed = on_closed
        self._splitter = _Splitter()
        #: Parts of messages, with the descriptor (our own copy) that has to go out with the part's first byte.
        self._unsent: deque[tuple[memoryview, int | None]] = deque()
        self._closed = False
        #: What the other side has not taken yet; a sender that sees it grow should hold back.
        self.unsent_bytes = 0
        loop.add_reader(sock.fileno(), self._readable)

    def send(self, data: bytes) -> bool:
        """Sends a message now or, in order, when the other side reads again; False when it is gone."""
        header = _header(len(data))
        if len(data) <= _JOIN_BYTES:
            return self._send([header + data], None)
        return self._send([header, data], None)

    def send_with_fd(self, data: bytes, descriptor: int) -> bool:
        """Like `send`, with a copy of an open file descriptor, which the caller may then close."""
        if self._closed:
            return False
        return self._send([_header(len(data), _WITH_DESCRIPTOR), data], os.dup(descriptor))

    def close(self) -> None:
        """Closes the socket; what was not sent is lost, and `on_closed` is not called."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        for _, descriptor in self._unsent:
            if descriptor is not None:
                os.close(descriptor)
        self._unsent.clear()
        self.unsent_bytes = 0

    def _send(self, parts: list[bytes], descriptor: int | None) -> bool:
        if self._closed:
            return False
        idle = not self._unsent
        for part in parts:
            self._unsent.append((memoryview(part), descriptor))
            self.unsent_bytes += len(part)
            descriptor = None
        if idle:
            self._write()
            if self._unsent and not self._closed:
                self._loop.add_writer(self._socket.fileno(), self._writable)
        return not self._closed

    def _writable(self) -> None:
        self._write()
        if not self._unsent and not self._closed:
            self._loop.remove_writer(self._socket.fileno())

    def _write(self) -> None:
        """Writes until nothing is left or the other side takes no more; its end is found by the reader."""
        while self._unsent:
            part, descriptor = self._unsent.popleft()
            try:
                if descriptor is None:
                    sent = self._socket.send(part)
                else:
                    sent = self._socket.sendmsg([part], _ancillary(descriptor))
                    os.close(descriptor)
            except BlockingIOError:
                self._unsent.appendleft((part, descriptor))
                return
            except OSError:
                if descriptor is not None:
                    os.close(descriptor)
                self._abandon()
                return
            self.unsent_bytes -= sent
            if sent < len(part):
                self._unsent.appendleft((part[sent:], None))

    def _abandon(self) -> None:
        """Nobody will read what waits; the reader still hands over what had come and then reports the end."""
        for _, descriptor in self._unsent:
            if descriptor is not None:
                os.close(descriptor)
        self._unsent.clear()
        self.unsent_bytes = 0

    def _readable(self) -> None:
        reason = ""
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            data, reason = b"", str(error)
        messages: list[tuple[bytes, bool]] = []
        if data:
            try:
                messages = self._splitter.feed(data)
            except PipeError as error:
                data, reason = b"", str(error)
        if messages:
            self._on_batch([body for body, _ in messages])
        if not data and not self._closed:
            self.close()
            self._on_closed(reason or "the other side closed the pipe")
