"""A server as a process of its own: it starts fast, serves whoever has a key, outlives nonsense, and leaves nothing."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from rain.core.config import ServerConfig, Started
from rain.core.errors import RainException
from rain.core.resources import Offer
from rain.core.spec import TaskSpec
from rain.deploy.program import ChildProgram
from rain.protocol.client import (
    UPLOAD_CHUNK_BYTES,
    Ack,
    ClientAlive,
    CloseSession,
    Locate,
    Located,
    OpenSession,
    SessionOpened,
    Shutdown,
    Submit,
    Upload,
    to_client_decoder,
)
from rain.protocol.codec import encode
from rain.protocol.columns import pack, unpack
from rain.protocol.hello import (
    PROTOCOL_VERSION,
    ClientHello,
    Refusal,
    Versions,
    Welcome,
    WorkerHello,
    answer_decoder,
)
from rain.protocol.queries import QueryServer, ServerInfo
from rain.protocol.transfer import Peer
from rain.protocol.worker import Compute, Done, Stop, from_server_decoder
from rain.wire.access import Access, read_access
from rain.wire.endpoint import Frames, close_context, new_context
from rain.wire.fetcher import Fetcher
from rain.wire.holder import Stored
from rain.wire.link import Link
from rain.wire.shared_store import TOKEN_FILE

PATIENCE_S = 20.0
HELLO = ClientHello(PROTOCOL_VERSION, Versions("0", "", ""), "here", 1)
WORKER_HELLO = WorkerHello(
    protocol=PROTOCOL_VERSION,
    versions=Versions("0", "", ""),
    host="there",
    pid=2,
    offer=Offer(),
    data_host="127.0.0.1",
    data_port=9,
    data_key="k" * 40,
)


class Running:
    """A server that this test run started, and what is known of it."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.log = folder / "log"
        settings: dict[str, Any] = {"port": 0, "http_port": 0, "kind": "local", "workdir": str(folder / "work")}
        self.program = ChildProgram(ServerConfig(**{**settings, **changes}), embedded=True, log=self.log)
        self.started: Started = self.program.wait_ready(PATIENCE_S)
        self.process = psutil.Process(self.started.pid)

    def access(self, role: str) -> Access:
        """The access file of a role."""
        return read_access(self.access_path(role))

    def access_path(self, role: str) -> Path:
        """Where it is."""
        return Path(self.started.client_access).with_name(f"{self.started.port}.{role}.json")

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of a page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.started.http_port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): text for name, text in answer.getheaders()}, json.loads(answer.read())
        finally:
            connection.close()

    def ports(self) -> set[int]:
        """All ports on which it listens."""
        listening = (entry for entry in self.process.net_connections("tcp") if entry.status == psutil.CONN_LISTEN)
        return {entry.laddr.port for entry in listening}

    def work_folder(self) -> Path:
        """Where it keeps what clients upload."""
        [folder] = (self.folder / "work").iterdir()
        return folder

    def end(self) -> None:
        """End it, if it is not gone."""
        self.program.end()
        self.program.wait_ended()

    def assert_nothing_left(self) -> None:
        """No process, no access file, no work folder."""
        assert not self.program.alive
        assert [path for role in ("client", "worker", "monitor") if (path := self.access_path(role)).exists()] == []
        assert list((self.folder / "work").iterdir()) == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("server"))
    yield running
    running.end()
    running.assert_nothing_left()


class Conversation:
    """One connection to the server; messages are taken one by one as they come."""

    def __init__(self, running: Running, role: str) -> None:
        self._running = running
        self._role = role
        self._heard: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._context = new_context()
        self._link: Link

    async def __aenter__(self) -> Conversation:
        access = self._running.access(self._role)
        try:
            self._link = await Link.connect(
                self._context,
                access.host,
                access.port,
                keypair=access.keypair,
                server_key=access.server_key.encode(),
                on_batch=self._batch,
                on_lost=lambda _: self._heard.put_nowait(None),
                timeout_s=PATIENCE_S,
            )
        except BaseException:
            close_context(self._context)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._link.close()
        close_context(self._context)

    def say(self, *messages: msgspec.Struct | Sequence[bytes]) -> None:
        """Send these."""
        for message in messages:
            self._link.send([encode(message)] if isinstance(message, msgspec.Struct) else list(message))

    async def next(self, decode: Callable[[bytes], Any]) -> Any:
        """The next message that this decodes; None when the connection ended."""
        async with asyncio.timeout(PATIENCE_S):
            data = await self._heard.get()
        return None if data is None else decode(data)

    async def next_of(self, kind: type[Any]) -> Any:
        """The next message of this kind; others are passed over."""
        decoder = from_server_decoder if self._role == "worker" else to_client_decoder
        while not isinstance(message := await self.next(decoder.decode), kind):
            assert message is not None, f"the connection ended before a {kind.__name__} came"
        return message

    async def welcome(self, hello: msgspec.Struct) -> Any:
        """Say hello; the answer."""
        self.say(hello)
        return await self.next(answer_decoder.decode)

    def _batch(self, batch: list[Frames]) -> None:
        for frame in chain.from_iterable(batch):
            self._heard.put_nowait(bytes(frame))


def test_health_needs_no_token_and_tells_nothing(server):
    status, headers, answer = server.get("/health")
    assert (status, answer) == (200, {"status": "ok"})
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "server" not in headers
    assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize("role", ["client", "monitor"])
def test_status_is_shown_to_whoever_has_the_token(server, role):
    token = server.access(role).token
    for header, value in (("Authorization", f"Bearer {token}"), ("X-Rain-Token", token)):
        status, _, answer = server.get("/api/status", **{header: value})
        assert status == 200
        assert answer["pid"] == server.started.pid
        assert answer["address"] == f"127.0.0.1:{server.started.port}"
        assert answer["internal_faults"] == 0
        assert answer["uptime_s"] > 0
        assert answer["version"]
    assert server.access("worker").token is None


@pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer wrong"}, {"X-Rain-Token": ""}, {"Cookie": "token=x"}])
def test_status_without_the_token_says_where_it_stands(server, given):
    status, headers, answer = server.get("/api/status", **given)
    assert status == 401
    assert headers["www-authenticate"] == "Bearer"
    assert str(server.started.client_access) in answer["error"]
    assert set(answer) == {"error"}


@pytest.mark.parametrize("path", ["/health", "/api/status", "/nowhere"])
@pytest.mark.parametrize("foreign", [{"Host": "evil.example"}, {"Host": "evil.example:80"}, {"Origin": "http://evil"}])
def test_pages_of_elsewhere_cannot_ask(server, path, foreign):
    token = server.access("client").token
    status, _, answer = server.get(path, **{"X-Rain-Token": token, **foreign})
    assert status == 403
    assert set(answer) == {"error"}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1:7222", "[::1]:80"])
def test_this_machine_may_ask_under_its_own_names(server, host):
    assert server.get("/health", Host=host)[0] == 200


def test_pages_only_read_and_unknown_ones_name_the_known(server):
    assert server.get("/nowhere")[0] == 404
    connection = http.client.HTTPConnection("127.0.0.1", server.started.http_port, timeout=PATIENCE_S)
    connection.request("POST", "/api/status", body=b"{}")
    assert connection.getresponse().status == 405
    connection.close()


def test_a_task_goes_its_way_with_its_bytes_taken_care_of(server, tmp_path):
    constant = random.Random(3).randbytes(UPLOAD_CHUNK_BYTES + 100)
    chunks = [constant[:UPLOAD_CHUNK_BYTES], constant[UPLOAD_CHUNK_BYTES:]]

    async def talk() -> None:
        async with Conversation(server, "client") as client, Conversation(server, "worker") as worker:
            welcome = await worker.welcome(WORKER_HELLO)
            await client.welcome(HELLO)
            client.say(OpenSession(1))
            session = (await client.next_of(SessionOpened)).session
            for number, chunk in enumerate(chunks):
                upload = Upload(session, 0, number * UPLOAD_CHUNK_BYTES, len(constant))
                client.say([encode(upload), chunk])
            client.say(one_task(session, b"arguments", len(constant)), Locate(2, session, pack("I", [1])))

            compute = await worker.next_of(Compute)
            assert (bytes(compute.args), unpack("I", compute.args_size, "")) == (b"arguments", array("I", [9]))
            assert unpack("I", compute.source, "") == array("I", [0])
            assert compute.source_inline == b"\0"
            assert compute.source_types == ("text",)
            endpoint = Peer(0, welcome.data_host, welcome.data_port, welcome.data_key)
            [stored] = await fetched(server.access("worker"), endpoint, session, tmp_path)
            assert isinstance(stored.data, Path)
            assert stored.data.read_bytes() == constant

            one, inline = pack("I", [0]), pack("B", [1])
            size = pack("Q", [6])
            data = memoryview(b"result")
            attempt = compute.attempt
            worker.say(
                Done(session=session, task=one, attempt=attempt, duration_us=one, size=size, inline=inline, data=data)
            )
            located = await client.next_of(Located)
            assert bytes(located.data) == b"result"
            client.say(CloseSession(3, session))
            await client.next_of(Ack)
            # The answer goes out before the files go; whoever hears a second one knows that they have gone.
            client.say(QueryServer(4))
            await client.next_of(ServerInfo)
            assert [path.name for path in server.work_folder().iterdir() if path.is_file()] == [TOKEN_FILE]

    asyncio.run(talk())


def one_task(session: int, args: bytes, constant_size: int) -> Submit:
    """A task that reads the uploaded object 0 and makes object 1, which is kept."""
    return Submit(
        session=session,
        first_spec=0,
        specs=(TaskSpec(kind="python"),),
        first_task=0,
        n_tasks=1,
        spec=pack("I", [0]),
        first_output=pack("I", [1]),
        n_inputs=pack("I", [1]),
        inputs=pack("I", [0]),
        args_size=pack("I", [len(args)]),
        args=memoryview(args),
        first_object=0,
        n_objects=2,
        kept=pack("I", [1]),
        constants=pack("I", [0]),
        constant_size=pack("Q", [constant_size]),
        constant_inline=pack("B", [0]),
        constant_type=pack("H", [0]),
        content_types=("text",),
    )


async def fetched(access: Access, endpoint: Peer, session: int, folder: Path) -> list[Stored | None]:
    """Object 0, from the server's data endpoint with the keys of this role."""
    context = new_context()
    fetcher = Fetcher(context, access.keypair, folder)
    try:
        fetcher.learn([endpoint])
        return await fetcher.get(0, session, [0])
    finally:
        fetcher.close()
        close_context(context)


def test_a_client_is_welcomed_and_answered(server):
    async def talk() -> None:
        async with Conversation(server, "client") as client:
            welcome = await client.welcome(HELLO)
            assert isinstance(welcome, Welcome)
            assert welcome.cluster == server.access("client").cluster
            assert welcome.versions.python.startswith("3.")
            assert (welcome.data_host, welcome.data_key) == ("127.0.0.1", server.access("client").server_key)
            assert welcome.data_port in server.ports()
            client.say(OpenSession(1), QueryServer(2))
            opened = await client.next(to_client_decoder.decode)
            assert isinstance(opened, SessionOpened)
            info = await client.next(to_client_decoder.decode)
            assert isinstance(info, ServerInfo)
            assert [session.session for session in info.sessions] == [opened.session]

    asyncio.run(talk())


def test_a_worker_is_welcomed_and_shown(server):
    async def talk() -> None:
        async with Conversation(server, "worker") as worker:
            welcome = await worker.welcome(WORKER_HELLO)
            assert isinstance(welcome, Welcome)
            access = server.access("client")
            assert set(welcome.data_readers) == {access.server_key, access.public_key, worker_key}
            _, _, status = await asyncio.to_thread(server.get, "/api/status", **{"X-Rain-Token": access.token})
            [shown] = [entry for entry in status["workers"] if entry["worker"] == f"w{welcome.number}"]
            assert (shown["host"], shown["cpus"], shown["address"]) == ("there", 1.0, "127.0.0.1:9")

    worker_key = server.access("worker").public_key
    asyncio.run(talk())


@pytest.mark.parametrize(
    ("role", "hello", "reason"),
    [
        ("worker", HELLO, "client.json"),
        ("client", WORKER_HELLO, "worker.json"),
        ("client", msgspec.structs.replace(HELLO, protocol=0), "upgrade Rain on this side"),
        ("client", msgspec.structs.replace(HELLO, protocol=99), "upgrade Rain on the server"),
        ("worker", msgspec.structs.replace(WORKER_HELLO, versions=Versions("0", "2.7.18", "")), "Python: 2.7.18"),
        ("client", QueryServer(1), "no hello"),
    ],
)
def test_who_does_not_fit_is_refused_with_a_reason(server, role, hello, reason):
    async def talk() -> None:
        async with Conversation(server, role) as peer:
            answer = await peer.welcome(hello)
            assert isinstance(answer, Refusal)
            assert reason in answer.reason

    asyncio.run(talk())


@pytest.mark.parametrize(
    "frames",
    [
        [random.Random(1).randbytes(1000)],
        [b""] * 3,
        [b"x"] * 40,
        [encode(ClientAlive())] * 2,
        [encode(Upload(1, 0, 9, 1))],
    ],
)
def test_a_client_that_talks_nonsense_is_alone_in_suffering(server, frames):
    async def talk() -> None:
        async with Conversation(server, "client") as good, Conversation(server, "client") as bad:
            assert isinstance(await good.welcome(HELLO), Welcome)
            assert isinstance(await bad.welcome(HELLO), Welcome)
            bad.say(frames, QueryServer(1))
            good.say(QueryServer(2))
            answer = await good.next(to_client_decoder.decode)
            assert isinstance(answer, ServerInfo)
            assert answer.request == 2

    asyncio.run(talk())
    assert server.get("/health")[0] == 200


def test_a_monitor_that_wants_to_act_is_dropped(server):
    async def talk() -> None:
        async with Conversation(server, "monitor") as monitor:
            assert isinstance(await monitor.welcome(HELLO), Welcome)
            monitor.say(QueryServer(1))
            assert isinstance(await monitor.next(to_client_decoder.decode), ServerInfo)
            monitor.say(Shutdown(2))
            assert isinstance(await monitor.next(answer_decoder.decode), Refusal)

    asyncio.run(talk())
    assert server.program.alive


def test_a_megabyte_of_noise_on_every_port_is_survived(server):
    ports = server.ports()
    assert len(ports) == 3
    noise = random.Random(2).randbytes(1 << 20)
    for port in ports:
        for words in (noise, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\xff" + bytes(8) + b"\x01\x7f" + bytes(10)):
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
                try:
                    connection.sendall(words)
                except OSError:
                    continue  # It hung up in between, which is its good right.
    assert server.get("/health")[0] == 200
    test_a_client_is_welcomed_and_answered(server)


def test_what_it_writes_is_for_its_user_alone(server):
    for role in ("client", "worker", "monitor"):
        assert stat.S_IMODE(server.access_path(role).stat().st_mode) == 0o600
    assert stat.S_IMODE(server.work_folder().stat().st_mode) == 0o700


def test_a_second_server_on_the_same_port_says_who_holds_it(server, tmp_path):
    with pytest.raises(RainException, match=f"in use.*process {server.started.pid} "):
        Running(tmp_path, port=server.started.port)
    assert list((tmp_path / "work").iterdir()) == []
    assert server.access("client").pid == server.started.pid


def test_an_http_port_that_was_asked_for_and_is_in_use_is_an_error(server, tmp_path):
    with pytest.raises(RainException, match="--http-listen"):
        Running(tmp_path, http_port=server.started.http_port)


def test_its_log_tells_who_came_and_no_secret(server):
    test_a_client_is_welcomed_and_answered(server)
    log = server.log.read_text()
    assert "ready: control=127.0.0.1" in log
    assert "joined: host='here'" in log
    for role in ("client", "worker", "monitor"):
        access = server.access(role)
        assert access.secret_key not in log
    assert server.access("client").token not in log
    assert "Traceback" not in log


def test_shutdown_tells_client_and_workers_and_leaves_nothing(tmp_path):
    running = Running(tmp_path)

    async def talk() -> None:
        async with Conversation(running, "client") as client, Conversation(running, "worker") as worker:
            assert isinstance(await worker.welcome(WORKER_HELLO), Welcome)
            assert isinstance(await client.welcome(HELLO), Welcome)
            client.say(Shutdown(5))
            assert await client.next(to_client_decoder.decode) == Ack(5)
            heard = [await worker.next(from_server_decoder.decode)]
            while heard[-1] is not None:
                heard.append(await worker.next(from_server_decoder.decode))
            assert Stop() in heard

    try:
        asyncio.run(talk())
        running.program.wait_ended()
        running.assert_nothing_left()
    finally:
        running.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_success_and_leaves_nothing(tmp_path, number):
    log = tmp_path / "logs" / "here"
    ready = tmp_path / "ready"
    config = ServerConfig(
        port=0,
        http_port=0,
        kind="local",
        workdir=str(tmp_path / "work"),
        logdir=str(log),
        ready_file=str(ready),
    )
    reader, writer = os.pipe()
    config = msgspec.structs.replace(config, ready_fd=writer)
    command = [sys.executable, "-m", "rain.server", msgspec.json.encode(config).decode()]
    process = subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.PIPE, text=True)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as pipe:
            started = msgspec.json.decode(pipe.read(), type=Started)
        assert ready.read_text() == "ready\n"
        assert "ready" in (log / f"server-{started.port}.log").read_text()
        process.send_signal(number)
        assert (process.communicate(timeout=PATIENCE_S)[1], process.returncode) == ("", 0)
        assert not Path(started.client_access).exists()
        assert not ready.exists()
        assert list((tmp_path / "work").iterdir()) == []
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_what_a_killed_server_left_is_removed_by_the_next_one(tmp_path):
    killed = Running(tmp_path)
    killed.program.kill()
    assert killed.access_path("client").exists()
    following = Running(tmp_path)
    assert not killed.access_path("client").exists()
    following.end()
    following.assert_nothing_left()


def test_a_program_without_a_configuration_says_what_it_expects():
    answer = subprocess.run(
        [sys.executable, "-m", "rain.server", '{"port": "x"}'], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2
    assert "configuration as JSON" in answer.stderr
