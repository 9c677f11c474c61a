"""CURVE key pairs, as Z85 text. The secret half is never printed."""

from __future__ import annotations

from typing import Any

import msgspec
import zmq

#: A CURVE key is 32 bytes, 40 characters of Z85.
KEY_LENGTH = 40


class KeyPair(msgspec.Struct, frozen=True):
    """A public key and its secret, 40 bytes of Z85 each."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public!r}, secret=<hidden>)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("public", self.public), ("secret", "<hidden>")]


def new_keypair() -> KeyPair:
    """A fresh random key pair."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public, secret)
