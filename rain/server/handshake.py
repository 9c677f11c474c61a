"""Who may join: compares what a peer says of itself with its key's role and with this server. Decides, sends nothing.

Functions travel as bytecode, so every client and worker must run the server's Python minor version and cloudpickle
major version: comparing each with the server compares them all with one another, in whatever order they come. A peer
that pickles nothing (a command of the shell) leaves those versions empty, and is not asked for them.
"""

from __future__ import annotations

import functools
import platform
import re

import msgspec

from rain.core.errors import ProtocolViolation
from rain.core.resources import UNIT
from rain.core.version import VERSION
from rain.protocol.hello import PROTOCOL_VERSION, Hello, Versions, WorkerHello, hello_decoder
from rain.wire.access import KEY_PATTERN

#: The longest name of a host.
_MAX_HOST = 255
#: The same as of the keys in access files.
_KEY = re.compile(KEY_PATTERN)
#: In units of an `Offer`; more than any machine has.
_MAX_AMOUNT = 1 << 60
_HELLO_OF_ROLE = {"worker": "worker", "client": "client", "monitor": "client"}


class _AnyHello(msgspec.Struct):
    """What hellos of all versions have in common."""

    protocol: int


_any_hello_decoder = msgspec.msgpack.Decoder(_AnyHello)


class Refused(Exception):
    """This peer does not join; the text is for the user who started it."""


@functools.cache
def own_versions() -> Versions:
    """What this server runs; looked up once, without importing what is looked up."""
    return Versions(
        rain=VERSION,
        python=platform.python_version(),
        cloudpickle=_installed_cloudpickle(),
    )


def read_hello(data: bytes | memoryview, role: str, own: Versions) -> Hello:
    """The hello of a peer whose key has this role.

    Raises Refused when it cannot join, ProtocolViolation when this is no hello of any version.
    """
    _check_protocol(data, own)
    hello = hello_decoder.decode(data)
    said = "worker" if isinstance(hello, WorkerHello) else "client"
    if said != _HELLO_OF_ROLE.get(role):
        raise Refused(
            f"the key is one for a {role}, but a {said} connects with it. A {said} needs the access file "
            f"of its own role: <port>.{said}.json"
        )
    if role != "monitor":
        _check_versions(hello, said, own)
    if isinstance(hello, WorkerHello):
        _check_worker(hello)
    return hello


def _check_worker(hello: WorkerHello) -> None:
    """Everybody who fetches from this worker is told its address, and the scheduler counts with its offer."""
    if not 0 < len(hello.data_host) <= _MAX_HOST or not 0 < hello.data_port < 1 << 16:
        raise Refused(f"{hello.data_host[:_MAX_HOST]!r}:{hello.data_port} is no address to fetch data from")
    if _KEY.fullmatch(hello.data_key) is None:
        raise Refused("its data key is no public key: 40 characters of Z85 are expected")
    offer = hello.offer
    amounts = (offer.gpus, offer.memory_bytes, *(amount for _, amount in offer.named))
    if offer.cpus < UNIT or max(offer.cpus, *amounts) > _MAX_AMOUNT or min(amounts) < 0:
        raise Refused("it has to offer at least one cpu, and of other resources amounts of zero or more")
    if len({name for name, _ in offer.named}) != len(offer.named):
        raise Refused("it names a resource twice")


def _check_protocol(data: bytes | memoryview, own: Versions) -> None:
    try:
        protocol = _any_hello_decoder.decode(data).protocol
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise ProtocolViolation("the first message is no hello") from None
    if protocol == PROTOCOL_VERSION:
        return
    older = "the server" if protocol > PROTOCOL_VERSION else "this side"
    raise Refused(
        f"this side speaks version {protocol} of Rain's protocol, the server version {PROTOCOL_VERSION} "
        f"(Rain {own.rain}): upgrade Rain on {older}"
    )


def _check_versions(hello: Hello, said: str, own: Versions) -> None:
    versions = hello.versions
    differences = [
        f"{name}: {theirs} at this {said}, {ours} at the server"
        for name, theirs, ours, parts in (
            ("Python", versions.python, own.python, 2),
            ("cloudpickle", versions.cloudpickle, own.cloudpickle, 1),
        )
        if theirs and ours and theirs.split(".")[:parts] != ours.split(".")[:parts]
    ]
    if differences:
        raise Refused(
            f"functions pickled by one version cannot be loaded by the other. {'; '.join(differences)}. "
            f"Start the {said} in an environment like the server's, or the server in one like the {said}'s"
        )


def _installed_cloudpickle() -> str:
    import importlib.metadata  # slow to import, and not needed before the first peer comes

    try:
        return importlib.metadata.version("cloudpickle")
    except importlib.metadata.PackageNotFoundError:
        return ""
