"""A start-up proof that the door is locked: an endpoint that would let a stranger in is not used at all."""

from __future__ import annotations

import asyncio

from rain.core.errors import RainException
from rain.wire.dial import Dial, Outcome
from rain.wire.endpoint import DATA, Context
from rain.wire.gate import Gate
from rain.wire.keys import KeyPair, new_keypair


async def check_gate(
    context: Context, gate: Gate, *, domain: str, address: str, port: int, server_key: bytes, timeout_s: float = 2.0
) -> None:
    """Proves that this endpoint accepts a listed key (so the check can see) and refuses an unlisted one.

    Takes some milliseconds. Raises RainException if either is not so.
    """
    listed, stranger = new_keypair(), new_keypair()
    gate.allow(listed.public, gate.a_role_of(domain))

    async def knock(keypair: KeyPair) -> Outcome:
        dial = Dial(context, keypair, server_key, DATA)
        try:
            return await dial.open(address, port, timeout_s)
        finally:
            dial.close()

    try:
        seen, unseen = await asyncio.gather(knock(listed), knock(stranger))
    finally:
        gate.forget(listed.public)
    if unseen is Outcome.ACCEPTED:
        raise RainException(
            f"Not starting: {address}:{port} let a key in that is not on its list, so anyone could run programs here. "
            "This is a fault of the installation (libzmq without authentication); reinstall pyzmq."
        )
    if seen is not Outcome.ACCEPTED or unseen is not Outcome.REFUSED:
        raise RainException(
            f"Not starting: the security check of {address}:{port} could not be completed. Expected a listed key to be "
            f"accepted and an unlisted one refused within {timeout_s:g} s, found: {seen.value}, {unseen.value}. "
            "A firewall that blocks connections of this machine to itself, or an overloaded machine, can cause this."
        )
