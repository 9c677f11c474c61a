"""Small results that came along with the end of a wait: a fetch after it needs no message."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rain.client.fetched import FetchedData
from rain.core.errors import ProtocolViolation
from rain.protocol.client import WaitDone
from rain.protocol.columns import unpack

if TYPE_CHECKING:
    from rain.wire.holder import Stored

#: Objects that one session remembers, the latest; they are small, see `MAX_INLINE_RESULT`.
MAX_REMEMBERED = 1024


class AlongResults:
    """What one session was sent and may fetch; the oldest is forgotten first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[int, tuple[Stored, bytes]] = {}

    def learn(self, done: WaitDone) -> None:
        """Remembers what came with the answer to a wait. Raises ProtocolViolation."""
        located = done.located
        if located is None:
            return
        from rain.client.fetching import take_inline

        objects = unpack("I", done.objects, "objects")
        found: dict[int, Stored] = {}
        if take_inline(located, objects, found):
            raise ProtocolViolation("results that come along with the end of a wait have their bytes with them")
        users = {objects[place]: user for place, user in located.users}
        with self._lock:
            for number, stored in found.items():
                self._found.pop(number, None)
                self._found[number] = (stored, users.get(number, b""))
            while len(self._found) > MAX_REMEMBERED:
                del self._found[next(iter(self._found))]

    def get(self, objects: Sequence[int]) -> FetchedData | None:
        """These objects, in this order; None unless all of them are here."""
        if len(objects) > MAX_REMEMBERED:
            return None
        with self._lock:
            found = [self._found.get(number) for number in objects]
        known = [each for each in found if each is not None]
        if len(known) < len(objects):
            return None
        users = {number: user for number, (_, user) in zip(objects, known, strict=True) if user}
        return FetchedData([stored for stored, _ in known], users)

    def forget(self, objects: Iterable[int]) -> None:
        """These were let go of."""
        with self._lock:
            for number in objects if self._found else ():
                self._found.pop(number, None)
