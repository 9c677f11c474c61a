"""Who is connected and has said hello: connections on one side, the machine's numbers on the other."""

from __future__ import annotations

from enum import Enum

import msgspec


class Standing(Enum):
    """What a member may say."""

    CLIENT = "client"
    WORKER = "worker"
    #: A client that only looks.
    MONITOR = "monitor"


class Member(msgspec.Struct, frozen=True):
    """A connection that was welcomed. Numbers of clients (monitors included) and of workers are never used again."""

    peer: bytes
    standing: Standing
    number: int

    def __str__(self) -> str:
        return f"{self.standing.value} {self.number}"


class Members:
    """The members of this moment."""

    def __init__(self) -> None:
        self._by_peer: dict[bytes, Member] = {}
        self._clients: dict[int, Member] = {}
        self._workers: dict[int, Member] = {}
        self._last_client = 0
        self._last_worker = 0

    def join(self, peer: bytes, standing: Standing) -> Member:
        """A new member, with a number of its own."""
        if standing is Standing.WORKER:
            self._last_worker += 1
            member = self._workers[self._last_worker] = Member(peer, standing, self._last_worker)
        else:
            self._last_client += 1
            member = self._clients[self._last_client] = Member(peer, standing, self._last_client)
        self._by_peer[peer] = member
        return member

    def leave(self, peer: bytes) -> Member | None:
        """Who that was; None for a connection that never joined, or left before."""
        member = self._by_peer.pop(peer, None)
        if member is not None:
            numbered = self._workers if member.standing is Standing.WORKER else self._clients
            del numbered[member.number]
        return member

    def find(self, peer: bytes) -> Member | None:
        """The member behind a connection."""
        return self._by_peer.get(peer)

    def client(self, number: int) -> Member | None:
        """A client by its number; None when it is gone."""
        return self._clients.get(number)

    def worker(self, number: int) -> Member | None:
        """A worker by its number; None when it is gone."""
        return self._workers.get(number)

    def workers(self) -> list[Member]:
        """All workers, in the order in which they came."""
        return list(self._workers.values())
