"""The effects of one step, in an order that is safe to carry out.

What can be said at any time is said at once, in order. Cancels, drops and what the stash may let go are collected and
leave as one message per worker and session. Cancels and drops leave before new work, so that a worker never drops
what it was given after; the stash lets go last, when everything that it had to complete has been sent.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TypeAlias

from rain.protocol.client import ToClient
from rain.protocol.columns import column
from rain.protocol.worker import Cancel, Drop, FromServer
from rain.server.machine.effects import DropStashed, Effect, ForgetTasks, TellClient, TellWorker

#: Those of the objects of a session (second) that a worker (first), by what is known now, does not hold.
Unheld: TypeAlias = "Callable[[int, int, array[int]], array[int]]"
#: Those of the objects of a session (first) of which the stash has, or is getting, no bytes that are needed.
Unneeded: TypeAlias = "Callable[[int, array[int]], array[int]]"


class Orders:
    """Collects the effects of one step."""

    __slots__ = ("_cancels", "_dropped_stash", "_drops", "_forgotten", "_late", "_said")

    def __init__(self) -> None:
        self._said: list[Effect] = []
        self._late: list[Effect] = []
        self._cancels: dict[tuple[int, int], tuple[array[int], array[int]]] = {}
        self._drops: dict[tuple[int, int], array[int]] = {}
        self._dropped_stash: dict[int, array[int]] = {}
        self._forgotten: dict[int, array[int]] = {}

    def say(self, effect: Effect) -> None:
        """An effect that stands in the order in which it was said."""
        self._said.append(effect)

    def say_last(self, effect: Effect) -> None:
        """An effect that comes after all others."""
        self._late.append(effect)

    def tell_client(self, client: int, message: ToClient) -> None:
        self._said.append(TellClient(client, message))

    def tell_worker(self, worker: int, message: FromServer) -> None:
        self._said.append(TellWorker(worker, message))

    def cancel(self, worker: int, session: int, task: int, attempt: int) -> None:
        tasks, attempts = self._cancels.setdefault((worker, session), (array("I"), array("I")))
        tasks.append(task)
        attempts.append(attempt)

    def drop(self, worker: int, session: int, obj: int) -> None:
        self.drop_column(worker, session).append(obj)

    def drop_column(self, worker: int, session: int) -> array[int]:
        """The objects that this worker is going to be told to drop, to be extended."""
        key = (worker, session)
        found = self._drops.get(key)
        if found is None:
            found = self._drops[key] = array("I")
        return found

    def drop_stashed(self, session: int) -> array[int]:
        """The objects that the stash is going to be told to drop, to be extended."""
        return self._dropped_stash.setdefault(session, array("I"))

    def forgotten(self, session: int) -> array[int]:
        """The tasks that the stash is going to be told to forget, to be extended."""
        return self._forgotten.setdefault(session, array("I"))

    def session_ended(self, session: int) -> None:
        """What was collected about a session that is no more need not be sent."""
        for collected in (self._cancels, self._drops):
            for key in [key for key in collected if key[1] == session]:
                del collected[key]
        self._dropped_stash.pop(session, None)
        self._forgotten.pop(session, None)

    def worker_left(self, worker: int) -> None:
        """Nothing can be sent to this worker any more."""
        for collected in (self._cancels, self._drops):
            for key in [key for key in collected if key[0] == worker]:
                del collected[key]

    def flush_orders(self, unheld_of: Unheld) -> None:
        """Says the cancels and drops; an object that came back to the worker meanwhile is not dropped."""
        for (worker, session), (tasks, attempts) in self._cancels.items():
            self._said.append(TellWorker(worker, Cancel(session, column(tasks), column(attempts))))
        self._cancels = {}
        for (worker, session), objects in self._drops.items():
            unheld = unheld_of(worker, session, objects)
            if unheld:
                self._said.append(TellWorker(worker, Drop(session, column(unheld))))
        self._drops = {}

    def flush(self, unneeded_of: Unneeded) -> list[Effect]:
        """All effects."""
        effects = self._said
        for session, tasks in self._forgotten.items():
            if tasks:
                effects.append(ForgetTasks(session, tasks))
        for session, objects in self._dropped_stash.items():
            unneeded = unneeded_of(session, objects)
            if unneeded:
                effects.append(DropStashed(session, unneeded))
        effects += self._late
        self._said = []
        self._late = []
        self._forgotten = {}
        self._dropped_stash = {}
        return effects
