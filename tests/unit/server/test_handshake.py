"""Who may join: role, protocol and versions are compared, and a refusal says what to do."""

from __future__ import annotations

import msgspec
import pytest

from rain.core.errors import ProtocolViolation
from rain.core.resources import UNIT, Offer
from rain.protocol.hello import PROTOCOL_VERSION, ClientHello, Versions, WorkerHello
from rain.server.handshake import Refused, own_versions, read_hello
from tests.unit.server.bench import VERSIONS, client_hello, worker_hello


@pytest.mark.parametrize(
    ("role", "hello", "kind"),
    [
        ("client", client_hello(), ClientHello),
        ("monitor", client_hello(), ClientHello),
        ("worker", worker_hello(), WorkerHello),
    ],
)
def test_a_hello_that_fits_the_role_of_the_key_is_accepted(role, hello, kind):
    assert type(read_hello(hello, role, VERSIONS)) is kind


@pytest.mark.parametrize(
    ("role", "hello", "needs"),
    [
        ("worker", client_hello(), "a client connects with it.*<port>.client.json"),
        ("client", worker_hello(), "a worker connects with it.*<port>.worker.json"),
        ("monitor", worker_hello(), "a worker connects with it.*<port>.worker.json"),
        ("stranger", client_hello(), "one for a stranger"),
    ],
)
def test_a_key_of_another_role_is_refused(role, hello, needs):
    with pytest.raises(Refused, match=needs):
        read_hello(hello, role, VERSIONS)


@pytest.mark.parametrize(
    ("protocol", "who"),
    [(PROTOCOL_VERSION - 1, "upgrade Rain on this side"), (PROTOCOL_VERSION + 1, "upgrade Rain on the server")],
)
def test_another_protocol_is_refused_with_both_versions_and_who_must_upgrade(protocol, who):
    said = rf"version {protocol} of Rain's protocol, the server version {PROTOCOL_VERSION}.*{who}"
    with pytest.raises(Refused, match=said):
        read_hello(client_hello(protocol=protocol), "client", VERSIONS)


def test_a_hello_of_a_later_protocol_is_understood_as_far_as_its_version():
    unknown = msgspec.msgpack.encode({"type": "client_hello_with_everything", "protocol": 9, "new": [1]})
    with pytest.raises(Refused, match="version 9"):
        read_hello(unknown, "client", VERSIONS)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"GET / HTTP/1.1", msgspec.msgpack.encode({"protocol": "1"})])
def test_what_is_no_hello_is_a_violation(data):
    with pytest.raises(ProtocolViolation, match="no hello"):
        read_hello(data, "client", VERSIONS)


@pytest.mark.parametrize(
    ("versions", "named"),
    [
        (Versions("0.1.0", "3.12.1", "3.1.2"), "Python: 3.12.1 at this worker, 3.11.7 at the server"),
        (Versions("0.1.0", "3.11.7", "4.0.0"), "cloudpickle: 4.0.0 at this worker, 3.1.2 at the server"),
        (Versions("0.1.0", "3.1.7", "3.1.2"), "Python: 3.1.7"),
    ],
)
def test_versions_whose_pickles_do_not_fit_are_refused(versions, named):
    with pytest.raises(Refused, match=named):
        read_hello(worker_hello(versions=versions), "worker", VERSIONS)


@pytest.mark.parametrize(
    "versions",
    [
        Versions("0.9.0", "3.11.0", "3.0.0"),
        # A command of the shell pickles nothing.
        Versions("0.1.0", "", ""),
    ],
)
def test_versions_whose_pickles_fit_are_accepted(versions):
    assert read_hello(client_hello(versions=versions), "client", VERSIONS).versions == versions


def test_a_monitor_may_run_any_python():
    assert read_hello(client_hello(versions=Versions("0.1.0", "3.99.0", "9.0")), "monitor", VERSIONS)


def test_the_servers_own_versions_are_known():
    own = own_versions()
    assert own.rain
    assert own.python.count(".") == 2
    assert own.cloudpickle


@pytest.mark.parametrize(
    "changes",
    [
        {"data_key": "short"},
        {"data_key": "~" * 40},
        {"data_key": "é" * 40},
        {"data_host": ""},
        {"data_host": "h" * 1000},
        {"data_port": 0},
        {"data_port": 1 << 16},
        {"data_port": -1},
        {"offer": Offer(cpus=0)},
        {"offer": Offer(cpus=-UNIT)},
        {"offer": Offer(cpus=1 << 62)},
        {"offer": Offer(gpus=-1)},
        {"offer": Offer(named=(("licence", -1),))},
        {"offer": Offer(named=(("licence", 1), ("licence", 2)))},
    ],
    ids=str,
)
def test_a_worker_that_others_could_not_use_is_refused_before_they_hear_of_it(changes):
    with pytest.raises(Refused):
        read_hello(worker_hello(**changes), "worker", VERSIONS)
