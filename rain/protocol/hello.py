"""The first words on a control connection, for clients and workers alike. Nothing else is accepted before them."""

from __future__ import annotations

import msgspec

from rain.core.resources import Offer
from rain.protocol.codec import MessageDecoder

#: Raised with every change that an older peer would misunderstand.
PROTOCOL_VERSION = 2


class Versions(msgspec.Struct, frozen=True):
    """What both sides compare in the handshake."""

    rain: str
    python: str
    cloudpickle: str


class ClientHello(msgspec.Struct, frozen=True, tag="client_hello"):
    """A client, a command of the shell, or a view connects."""

    protocol: int
    versions: Versions
    host: str
    pid: int


class WorkerHello(msgspec.Struct, frozen=True, tag="worker_hello"):
    """A worker connects; it is a new incarnation whatever it was before."""

    protocol: int
    versions: Versions
    host: str
    pid: int
    offer: Offer
    #: Where other workers and clients fetch data from this worker: host, port, public CURVE key (Z85 text).
    data_host: str
    data_port: int
    data_key: str
    #: Its log file, on its host; empty where it writes none.
    log: str = ""


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """The server accepts; the number is the worker's name (w1, w2, …) or the client's."""

    number: int
    cluster: str
    versions: Versions
    #: Public keys (Z85 text) that may fetch from a worker: the role keys of clients, workers and the server.
    data_readers: tuple[str, ...] = ()
    #: The server's own data endpoint: host, port, public key.
    data_host: str = ""
    data_port: int = 0
    data_key: str = ""


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """The server does not accept this peer; the text is for the user who started it."""

    reason: str


Hello = ClientHello | WorkerHello
Answer = Welcome | Refusal

hello_decoder: MessageDecoder[Hello] = MessageDecoder(Hello)
answer_decoder: MessageDecoder[Answer] = MessageDecoder(Answer)
