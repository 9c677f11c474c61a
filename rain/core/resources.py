"""What a task asks for and what a worker offers.

Amounts are integers in units of 1/10,000, so that fractions add up exactly.
"""

from __future__ import annotations

import msgspec

#: One whole cpu (or gpu, or named resource) in the integer units of `Request` and `Offer`.
UNIT = 10_000


class Request(msgspec.Struct, frozen=True, array_like=True):
    """The resources one task occupies while it runs; hashable, so that equal requests are interned to one class."""

    #: In units of 1/10,000 cpu.
    cpus: int = UNIT
    gpus: int = 0
    memory_bytes: int = 0
    #: Named resources, sorted by name, in units of 1/10,000.
    named: tuple[tuple[str, int], ...] = ()

    def describe(self) -> str:
        """The request as a person would write it: `cpus=2, memory=4294967296, license=1`."""
        parts = [f"cpus={self.cpus / UNIT:g}"]
        if self.gpus:
            parts.append(f"gpus={self.gpus / UNIT:g}")
        if self.memory_bytes:
            parts.append(f"memory={self.memory_bytes}")
        parts += [f"{name}={amount / UNIT:g}" for name, amount in self.named]
        return ", ".join(parts)


class Offer(msgspec.Struct, frozen=True, array_like=True):
    """What a worker has in all; the units are those of `Request`."""

    cpus: int = UNIT
    gpus: int = 0
    memory_bytes: int = 0
    named: tuple[tuple[str, int], ...] = ()


def slots(offer: Offer, request: Request) -> int:
    """How many tasks with this request fit into this offer at once; 0 when it can never run there.

    A request of nothing at all is bounded by the number of cpus, so that it cannot flood a worker.
    """
    bounds = [have // need for have, need in _pairs(offer, request) if need > 0]
    return min(bounds) if bounds else max(1, offer.cpus // UNIT)


def subtract(offer: Offer, request: Request) -> Offer:
    """What is left of the offer while the request is held; amounts may go below zero, callers check with `slots`."""
    return _combine(offer, request, -1)


def add(offer: Offer, request: Request) -> Offer:
    """The offer after the request is given back."""
    return _combine(offer, request, 1)


def _pairs(offer: Offer, request: Request) -> list[tuple[int, int]]:
    have = dict(offer.named)
    pairs = [
        (offer.cpus, request.cpus),
        (offer.gpus, request.gpus),
        (offer.memory_bytes, request.memory_bytes),
    ]
    pairs += [(have.get(name, 0), amount) for name, amount in request.named]
    return pairs


def _combine(offer: Offer, request: Request, sign: int) -> Offer:
    named = dict(offer.named)
    for name, amount in request.named:
        named[name] = named.get(name, 0) + sign * amount
    return Offer(
        cpus=offer.cpus + sign * request.cpus,
        gpus=offer.gpus + sign * request.gpus,
        memory_bytes=offer.memory_bytes + sign * request.memory_bytes,
        named=tuple(sorted(named.items())),
    )
