"""What can happen to the server: past facts, as the shell hands them to the machine.

Columns inside messages are raw; the bytes of arguments, constants and results stay in the shell's stash, the machine
only reads numbers and sizes.
"""

from __future__ import annotations

import msgspec

from rain.core.liveness import Tick as Tick  # noqa: PLC0414 - one of the events below, for who imports them from here
from rain.core.resources import Offer
from rain.protocol.client import FromClient
from rain.protocol.worker import FromWorker


class ClientJoined(msgspec.Struct, frozen=True):
    """A client said hello and was given this number; numbers are never used again."""

    client: int


class ClientLeft(msgspec.Struct, frozen=True):
    """The connection is gone."""

    client: int


class ClientSaid(msgspec.Struct, frozen=True):
    """A message of a client. Its bytes (arguments, inline constants, upload chunks) are in the stash already."""

    client: int
    message: FromClient


class WorkerJoined(msgspec.Struct, frozen=True):
    """A worker said hello and was given this number; a worker that comes back is a new one."""

    worker: int
    host: str
    pid: int
    offer: Offer
    #: Its data endpoint: host, port, public key (Z85 text).
    data_host: str
    data_port: int
    data_key: str
    #: Its log file, on its host; empty where it writes none.
    log: str = ""


class WorkerLeft(msgspec.Struct, frozen=True):
    """The connection is gone; what only this worker held is lost."""

    worker: int


class WorkerSaid(msgspec.Struct, frozen=True):
    """A message of a worker. The bytes of `Done` are not in the stash yet: see the effect `StashResults`."""

    worker: int
    message: FromWorker


Event = WorkerSaid | ClientSaid | Tick | ClientJoined | ClientLeft | WorkerJoined | WorkerLeft
