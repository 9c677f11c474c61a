"""Who may come in: an allow-list of public keys, each with a role, asked by the transport at every handshake.

The gate answers the authentication requests of one context (ZAP, https://rfc.zeromq.org/spec/27/). It refuses
everything that it does not know: another mechanism than CURVE, a domain nobody opened, a key nobody listed, a role that
the domain does not take.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import NamedTuple

import zmq
from zmq.utils import z85

from rain.wire.endpoint import Context, Socket
from rain.wire.inbox import Inbox

_log = logging.getLogger("rain.wire.gate")

_VERSION = b"1.0"
_URL = "inproc://zeromq.zap.01"


class _Request(NamedTuple):
    """What the transport asks: may the owner of this key, at this address, talk to this domain?"""

    version: bytes
    request_id: bytes
    domain: bytes
    address: bytes
    mechanism: bytes
    credentials: list[bytes]


class Gate:
    """The allow-list of all endpoints of one context; there is one gate per context."""

    def __init__(self, context: Context, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._roles: dict[bytes, str] = {}
        self._domains: dict[bytes, frozenset[str]] = {}
        self._socket: Socket = context.socket(zmq.REP)
        self._socket.linger = 0
        self._socket.bind(_URL)
        self._inbox = Inbox(
            self._socket, loop or asyncio.get_running_loop(), _nothing_left, 100, receive=self._answer_next
        )

    def allow(self, public_key: bytes, role: str) -> None:
        """Lets the owner of `public_key` (Z85) in, as `role`; a key has one role at a time."""
        self._roles[public_key] = role

    def forget(self, public_key: bytes) -> None:
        """Lets the owner of `public_key` in no more; connections that stand are cut by `Peers.drop` alone."""
        self._roles.pop(public_key, None)

    def open_domain(self, domain: str, roles: Iterable[str]) -> None:
        """Names the roles that the endpoint of this domain takes."""
        self._domains[domain.encode()] = frozenset(roles)

    def a_role_of(self, domain: str) -> str:
        """One of the roles that this domain takes."""
        return min(self._domains[domain.encode()])

    def role_of(self, user_id: bytes) -> str | None:
        """The role of a key, None if it is not listed. A peer's user id is its public key."""
        return self._roles.get(user_id)

    def close(self) -> None:
        """Stops answering: from now on nobody gets in."""
        self._inbox.close()
        self._socket.close()

    def _answer_next(self) -> None:
        # A REP socket takes the next request only after the answer to this one, so the answer goes out at once.
        frames = self._socket.recv_multipart(zmq.NOBLOCK)
        self._socket.send_multipart(self._answer(frames))

    def _answer(self, frames: list[bytes]) -> list[bytes]:
        if len(frames) < 6:
            return [_VERSION, b"", b"400", b"not a request", b"", b""]
        version, request_id, domain, address, _, mechanism = frames[:6]
        request = _Request(version, request_id, domain, address, mechanism, frames[6:])
        user_id = self._admitted(request)
        if user_id is None:
            _log.debug("refused a connection: address=%s domain=%s", request.address, request.domain)
            return [_VERSION, request.request_id, b"400", b"not listed", b"", b""]
        return [_VERSION, request.request_id, b"200", b"OK", user_id, b""]

    def _admitted(self, request: _Request) -> bytes | None:
        if request.version != _VERSION or request.mechanism != b"CURVE":
            return None
        if len(request.credentials) != 1 or len(request.credentials[0]) != 32:
            return None
        public_key: bytes = z85.encode(request.credentials[0])
        role = self._roles.get(public_key)
        if role is None or role not in self._domains.get(request.domain, frozenset()):
            return None
        return public_key


def _nothing_left(batch: list[None]) -> None:
    """Every request was answered when it was read."""
