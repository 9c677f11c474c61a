"""Messages to bytes and back. Every failure to decode is a `ProtocolViolation`, whatever the bytes were."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from rain.core.errors import ProtocolViolation, RainException

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """The msgpack bytes of a message; columns are copied once, as they are.

    Raises RainException for a text with lone surrogates, such as a file name that is not UTF-8.
    """
    try:
        return _encoder.encode(message)
    except UnicodeEncodeError as error:
        raise RainException(f"{error.object!r} is no Unicode text ({error.reason}): names and paths must be") from None


class MessageDecoder(Generic[T]):
    """Decodes the messages of one direction of one conversation, with strict types."""

    def __init__(self, union: Any) -> None:
        self._decoder = msgspec.msgpack.Decoder(union)

    def decode(self, data: bytes | memoryview) -> T:
        """The message in `data`. Columns are views into it. Raises ProtocolViolation."""
        try:
            message: T = self._decoder.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ProtocolViolation(f"not a message of this conversation: {error}") from None
        return message
