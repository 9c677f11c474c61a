"""The conversation on a data endpoint: who needs an object asks a holder; workers and the server answer.

A holder answers every `Get` with one `Parcel`. Objects larger than `MAX_PARCEL_OBJECT` are then read in ranges, a
few at a time, so that neither side ever has more than a window in flight. Who runs on the holder's machine as the same
user may link its files instead: an entry names the file, and `GetStore` asks for the folder in which it lies.
"""

from __future__ import annotations

import msgspec

from rain.protocol.codec import MessageDecoder

#: Objects up to this size come whole in the parcel.
MAX_PARCEL_OBJECT = 64 << 10
#: Size of one range of a large object.
CHUNK_BYTES = 1 << 20
#: Ranges asked for and not yet received, per object.
CHUNKS_IN_FLIGHT = 8
#: Objects named in one `Get`.
MAX_OBJECTS_PER_GET = 4096


class Peer(msgspec.Struct, frozen=True, array_like=True):
    """A data endpoint: the holder's number, where it listens, and its public CURVE key (Z85 text)."""

    number: int
    host: str
    port: int
    key: str


class Get(msgspec.Struct, frozen=True, tag="get"):
    """Please send these objects of one session."""

    request: int
    session: int
    objects: tuple[int, ...]


class GetRange(msgspec.Struct, frozen=True, tag="get_range"):
    """Please send `length` bytes of one object from `offset`."""

    request: int
    session: int
    object: int
    offset: int
    length: int


class GetStore(msgspec.Struct, frozen=True, tag="get_store"):
    """Where do your files lie?"""

    request: int


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One object of a parcel; `size` -1: not here."""

    object: int
    size: int
    content_type: str | None = None
    #: The bytes stand in the payload frame, after those of the entries before it.
    inline: bool = False
    #: Name of the file or folder in the holder's store; "": there is none to be linked.
    file: str = ""
    #: When that was last written to, in nanoseconds.
    mtime_ns: int = 0


class Parcel(msgspec.Struct, frozen=True, tag="parcel"):
    """Answers `Get`, in its order; one payload frame with the bytes of the inline entries.

    It has at least one entry. What has no entry had no room, and is to be asked for again.
    """

    request: int
    entries: tuple[Entry, ...]


class Chunk(msgspec.Struct, frozen=True, tag="chunk"):
    """Answers `GetRange`; the payload frame has the bytes. `ok` False: the object is gone."""

    request: int
    object: int
    offset: int
    ok: bool = True


class StoreAt(msgspec.Struct, frozen=True, tag="store_at"):
    """Answers `GetStore`: which machine, which folder there, and what its token file says. "": nothing is shared."""

    request: int
    machine: str = ""
    folder: str = ""
    token: str = ""


ToHolder = Get | GetRange | GetStore
FromHolder = Parcel | Chunk | StoreAt

to_holder_decoder: MessageDecoder[ToHolder] = MessageDecoder(ToHolder)
from_holder_decoder: MessageDecoder[FromHolder] = MessageDecoder(FromHolder)
