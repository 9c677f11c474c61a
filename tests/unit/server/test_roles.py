"""Every message of every conversation, said by every role: what is not meant for a role's ears gets its sender dropped.

A message class that is new fails these tests until it stands in one of the conversations.
"""

from __future__ import annotations

import inspect
import typing
from types import ModuleType

import msgspec
import pytest

from rain.protocol import attaching, client, feed, hello, queries, transfer, worker
from rain.protocol.client import FromClient, OpenSession, SessionOpened, ToClient, Upload
from rain.protocol.codec import encode
from rain.protocol.columns import EMPTY
from rain.protocol.hello import Answer, Hello
from rain.protocol.transfer import FromHolder, ToHolder
from rain.protocol.worker import FromServer, FromWorker
from rain.server.machine.effects import TellClient
from rain.server.machine.events import ClientLeft, ClientSaid, WorkerLeft, WorkerSaid
from tests.unit.server.bench import ShellBench

CONVERSATIONS = (FromClient, ToClient, FromWorker, FromServer, Hello, Answer, ToHolder, FromHolder)

#: What each role may say after its hello. The other messages of the protocol are for others.
ALLOWED = {
    "client": set(typing.get_args(FromClient)),
    "monitor": {queries.QueryServer, client.Leave, client.ClientAlive},
    "worker": set(typing.get_args(FromWorker)),
}


def messages(*modules: ModuleType) -> list[type[msgspec.Struct]]:
    """All message classes: those with a tag."""
    return [
        value
        for module in modules
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, msgspec.Struct)
        and value.__module__ == module.__name__
        and value.__struct_config__.tag is not None
    ]


MESSAGES = messages(client, attaching, feed, queries, worker, hello, transfer)


def example(kind: type[msgspec.Struct]) -> msgspec.Struct:
    """A message of this class, as empty as it can be."""
    values = {int: 1, str: "", float: 0.0, bool: False, memoryview: EMPTY, tuple: ()}
    fields = {}
    hints = typing.get_type_hints(kind)
    for field in msgspec.structs.fields(kind):
        if field.required:
            hint = hints[field.name]
            fields[field.name] = (
                example(hint)
                if inspect.isclass(hint) and issubclass(hint, msgspec.Struct)
                else values.get(typing.get_origin(hint) or hint, "task")
            )
    return kind(**fields)


def test_every_message_belongs_to_a_conversation():
    spoken = {kind for conversation in CONVERSATIONS for kind in typing.get_args(conversation)}
    assert set(MESSAGES) == spoken


@pytest.mark.parametrize("role", ALLOWED)
@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: f"{kind.__module__.rpartition('.')[2]}-{kind.__name__}")
def test_a_role_says_what_is_its_own_to_say_and_is_dropped_for_anything_else(tmp_path, role, kind):
    bench = ShellBench(tmp_path)
    bench.join(b"p", role)
    if role == "client":
        bench.machine.answers = [[TellClient(1, SessionOpened(0, 1))]]
        bench.say(b"p", role, OpenSession(0))
        bench.events()
    message = encode(example(kind))
    bench.shell.batch([(b"p", role, [message, b"x"] if kind is Upload and role == "client" else [message])])
    if kind in ALLOWED[role]:
        dropped_for_its_content = bench.dropped() == [b"p"]
        [event] = bench.events()
        said = isinstance(event, WorkerSaid if role == "worker" else ClientSaid) and type(event.message) is kind
        assert said or (dropped_for_its_content and kind is Upload)
    else:
        assert bench.dropped() == [b"p"]
        assert bench.events() == [WorkerLeft(1) if role == "worker" else ClientLeft(1)]


@pytest.mark.parametrize("role", ["client", "worker", "monitor"])
@pytest.mark.parametrize(
    "kind", [each for each in MESSAGES if each not in typing.get_args(Hello)], ids=lambda kind: kind.__name__
)
def test_nothing_but_a_hello_is_heard_before_the_hello(tmp_path, role, kind):
    bench = ShellBench(tmp_path)
    bench.say(b"p", role, encode(example(kind)))
    assert bench.dropped() == [b"p"]
    assert bench.machine.batches == []
