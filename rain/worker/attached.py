"""What users attached to the objects that tasks here read or make; the machine does not know of it."""

from __future__ import annotations

from collections.abc import Iterable

from rain.core.user import MAX_USER_BYTES
from rain.protocol.executor import Produced
from rain.protocol.worker import Compute

_NOTHING = (b"", b"")


class AttachedUsers:
    """JSON of `spec.user` and `info.user` per object; most have neither, and then they are not here."""

    __slots__ = ("_sessions",)

    def __init__(self) -> None:
        self._sessions: dict[int, dict[int, tuple[bytes, bytes]]] = {}

    def learn(self, message: Compute) -> None:
        """Takes what came with tasks about their inputs; what a task here gave to an object stays."""
        if not message.object_users:
            return
        users = self._sessions.setdefault(message.session, {})
        for obj, spec_user, info_user in message.object_users:
            users[obj] = (spec_user, info_user or users.get(obj, _NOTHING)[1])

    def made(self, session: int, first_output: int, outputs: Iterable[Produced]) -> None:
        """A task here made these objects."""
        for obj, output in enumerate(outputs, first_output):
            if output.user and len(output.user) <= MAX_USER_BYTES:
                users = self._sessions.setdefault(session, {})
                users[obj] = (users.get(obj, _NOTHING)[0], output.user)

    def of(self, session: int, obj: int) -> tuple[bytes, bytes]:
        """JSON of the object's `spec.user` and of its `info.user`; empty where there is none."""
        users = self._sessions.get(session)
        return _NOTHING if users is None else users.get(obj, _NOTHING)

    def any_in(self, session: int) -> bool:
        """Whether anything is known of any object of the session."""
        return session in self._sessions

    def discard(self, session: int, objects: Iterable[int]) -> None:
        """These objects are here no more."""
        users = self._sessions.get(session)
        if users is not None:
            for obj in objects:
                users.pop(obj, None)

    def close_session(self, session: int) -> None:
        """Nothing of the session is here any more."""
        self._sessions.pop(session, None)
