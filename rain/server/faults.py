"""Our own mistakes: logged with what led to them, counted, and survived."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence

from rain.server.machine.effects import Effect
from rain.server.machine.events import ClientSaid, Event, Tick, WorkerSaid

_log = logging.getLogger("rain.server")

#: Batches of events that are remembered, and events shown of each.
REMEMBERED = 20
SHOWN = 20
#: After so many faults in full, the next ones are logged as one line each.
LOGGED_IN_FULL = 20


class Faults:
    """How often the machine or an effect failed, and the events that came before. Called within `except`."""

    def __init__(self) -> None:
        self.count = 0
        #: One line per batch: names and numbers only, so that nobody's bytes are kept or logged.
        self._last: deque[str] = deque(maxlen=REMEMBERED)

    def remember(self, events: Sequence[Event]) -> None:
        """A batch that went well; ticks are left out."""
        if len(events) > 1 or not isinstance(events[0], Tick):
            self._last.append(_line(events))

    def machine_failed(self, events: Sequence[Event]) -> None:
        """The machine raised on this batch."""
        self._log(f"the machine failed on: {_line(events)}")
        self.remember(events)

    def message_failed(self) -> None:
        """The bytes of a message could not be taken, although nothing is known to be wrong with them."""
        self._log("a message could not be taken")

    def effect_failed(self, effect: Effect) -> None:
        """An effect could not be carried out."""
        self._log(f"an effect failed: {type(effect).__name__}")

    def _log(self, what: str) -> None:
        self.count += 1
        if self.count <= LOGGED_IN_FULL:
            _log.exception("internal fault %d: %s\nlast events:\n%s", self.count, what, "\n".join(self._last))
        else:
            _log.error("internal fault %d: %s", self.count, what)


def _line(events: Sequence[Event]) -> str:
    more = f" and {len(events) - SHOWN} more" if len(events) > SHOWN else ""
    return ", ".join(_name(event) for event in events[:SHOWN]) + more


def _name(event: Event) -> str:
    if isinstance(event, ClientSaid):
        return f"client {event.client} {_message(event.message)}"
    if isinstance(event, WorkerSaid):
        return f"worker {event.worker} {_message(event.message)}"
    number = getattr(event, "client", getattr(event, "worker", ""))
    return f"{type(event).__name__} {number}".rstrip()


def _message(message: object) -> str:
    session = getattr(message, "session", None)
    return type(message).__name__ + ("" if session is None else f"(s{session})")
