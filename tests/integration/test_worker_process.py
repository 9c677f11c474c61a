"""The worker as a process: it joins, computes, and whatever ends it, nothing of it is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from rain.core.config import ServerConfig, Started, StartFailed, StartReport, WorkerConfig
from rain.core.failure import Cause
from rain.core.kinds import ExecuteArgs, InputWord, Kind, TextWord
from rain.core.resources import UNIT
from rain.core.spec import OutputSpec, TaskSpec
from rain.deploy.program import ChildProgram
from rain.protocol.client import to_client_decoder
from rain.protocol.codec import encode
from rain.protocol.columns import EMPTY, Column, pack, unpack
from rain.protocol.hello import PROTOCOL_VERSION, ClientHello, Refusal, Versions
from rain.protocol.queries import QueryServer, ServerInfo
from rain.protocol.transfer import Peer
from rain.protocol.worker import Compute, Done, EndSession, Failed, NumberedSpec, Stop, Unavailable
from rain.wire.access import read_access
from rain.wire.endpoint import Frame, Frames, close_context, new_context
from rain.wire.fetcher import Fetcher
from rain.wire.holder import Stored
from rain.wire.keys import new_keypair
from rain.wire.link import Link
from rain.wire.shared_store import TOKEN_FILE
from tests.integration.stand_in_server import PATIENCE_S, StandInServer, stand_in_server

CONCAT = TaskSpec(Kind.CONCAT)
PROGRAM = TaskSpec(Kind.EXECUTE, outputs=(OutputSpec(),))


class WorkerProcess:
    """A worker that a test started, and everything of it that must be gone in the end."""

    def __init__(self, config: WorkerConfig) -> None:
        ready, ready_fd = os.pipe()
        self.lifeline_fd, self._lifeline = os.pipe()
        config = msgspec.structs.replace(config, ready_fd=ready_fd, lifeline_fd=self.lifeline_fd)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rain.worker", msgspec.json.encode(config).decode()],
            pass_fds=[ready_fd, self.lifeline_fd],
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(ready_fd)
        os.close(self.lifeline_fd)
        self._ready = ready

    async def report(self) -> StartReport:
        """What the worker says to its starter."""
        said = await asyncio.to_thread(os.read, self._ready, 65536)
        return msgspec.json.decode(said, type=StartReport)

    def tree(self) -> list[psutil.Process]:
        """The worker with all its processes."""
        worker = psutil.Process(self.process.pid)
        return [worker, *worker.children(recursive=True)]

    def drop_lifeline(self) -> None:
        os.close(self._lifeline)
        self._lifeline = -1

    async def exit_code(self) -> int:
        return await asyncio.to_thread(self.process.wait, PATIENCE_S)

    def stderr(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def close(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
        os.close(self._ready)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


class World:
    """A stand-in server and a worker that joined it."""

    def __init__(self, server: StandInServer, worker: WorkerProcess, workdir: Path) -> None:
        self.server = server
        self.worker = worker
        self.workdir = workdir

    def compute(self, *commands: str, spec: TaskSpec = PROGRAM, session: int = 1) -> None:
        """Orders tasks 0, 1, …, of which each runs a line of shell; its only output is what it prints."""
        args = [msgspec.msgpack.encode(ExecuteArgs(words=(TextWord(line),), shell=True, stdout=0)) for line in commands]
        self.server.say(
            Compute(
                session=session,
                specs=(NumberedSpec(0, spec),),
                **columns(len(commands)),
                args_size=pack("I", map(len, args)),
                args=memoryview(b"".join(args)),
            )
        )

    def done(self) -> list[Done]:
        return [message for message in self.server.heard if isinstance(message, Done)]

    async def until_done(self, n_tasks: int) -> list[Done]:
        await self.server.until(
            lambda: sum(len(done.task) // 4 for done in self.done()) >= n_tasks, f"{n_tasks} tasks should be done"
        )
        return self.done()

    async def until_nothing_is_left(self, tree: list[psutil.Process]) -> None:
        _, alive = await asyncio.to_thread(psutil.wait_procs, tree, PATIENCE_S)
        assert alive == []
        assert list(self.workdir.iterdir()) == []


def columns(n_tasks: int, *, first_output: int = 10) -> dict[str, Column]:
    """The columns of tasks 0, 1, … of spec 0 without inputs, with one output each."""
    return {
        "task": pack("I", range(n_tasks)),
        "spec": pack("I", [0] * n_tasks),
        "attempt": pack("I", [0] * n_tasks),
        "first_output": pack("I", range(first_output, first_output + n_tasks)),
        "n_inputs": pack("I", [0] * n_tasks),
    }


def run(scenario: Callable[[World], Coroutine[Any, Any, None]], folder: Path) -> None:
    async def main() -> None:
        async with stand_in_server(folder) as server, worker_of(server, folder) as world:
            report = await world.worker.report()
            assert isinstance(report, Started), report
            await scenario(world)

    asyncio.run(main())


@asynccontextmanager
async def worker_of(server: StandInServer, folder: Path) -> AsyncIterator[World]:
    workdir = folder / "work"
    worker = WorkerProcess(
        WorkerConfig(server_port=server.port, access=str(server.access), cpus=2, workdir=str(workdir))
    )
    try:
        yield World(server, worker, workdir)
    finally:
        worker.close()


def test_a_worker_computes_and_reports_with_the_bytes_of_small_results(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        assert w.server.hello is not None
        assert w.server.hello.offer.cpus == 2 * UNIT
        assert w.server.hello.data_host == "127.0.0.1"
        w.compute("printf one", "printf three")
        found = {}
        for done in await w.until_done(2):
            data = bytes(done.data)
            for task, size in zip(unpack("I", done.task, "task"), unpack("Q", done.size, "size"), strict=True):
                found[task], data = data[:size], data[size:]
        assert found == {0: b"one", 1: b"three"}

    run(scenario, tmp_path)


def test_inputs_come_with_the_order_or_from_a_holder_and_results_can_be_fetched(tmp_path: Path) -> None:
    large = os.urandom(3_000_000)

    async def scenario(w: World) -> None:
        server = w.server
        server.stored[1, 1] = Stored(len(large), None, large)
        server.stored[1, 2] = Stored(5, None, b"small")
        server.say(
            Compute(
                session=1,
                specs=(NumberedSpec(0, CONCAT),),
                **{**columns(1), "n_inputs": pack("I", [3])},
                inputs=pack("I", [0, 1, 2]),
                args_size=pack("I", [0]),
                source=pack("I", [0, 1, 2]),
                source_holder=pack("I", [0, 0, 0]),
                source_size=pack("Q", [6, len(large), 5]),
                source_inline=pack("B", [1, 0, 0]),
                source_data=memoryview(b"inline"),
                source_types=(None, None, None),
            )
        )
        [done] = await w.until_done(1)
        assert unpack("Q", done.size, "size")[0] == len(large) + 11
        assert server.hello is not None
        server.fetcher.learn([Peer(1, "127.0.0.1", server.hello.data_port, server.hello.data_key)])
        [result] = await server.fetcher.get(1, 1, [10])
        assert result is not None
        assert isinstance(result.data, Path)
        assert result.data.read_bytes() == b"inline" + large + b"small"
        server.say(EndSession(1))
        while (await server.fetcher.get(1, 1, [10])) != [None]:
            pass
        [root] = w.workdir.iterdir()
        assert [path.name for path in (root / "store").iterdir()] == [TOKEN_FILE]

    run(scenario, tmp_path)


def test_a_failing_task_and_one_that_kills_its_executor_are_reported_and_others_go_on(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        w.compute("echo sorry >&2; exit 3", "kill -9 $PPID", "printf fine")
        await w.server.until(
            lambda: len([each for each in w.server.heard if isinstance(each, Failed)]) == 2, "two tasks should fail"
        )
        causes = {each.task: each.failure.cause for each in w.server.heard if isinstance(each, Failed)}
        assert causes == {0: Cause.TASK, 1: Cause.EXECUTOR}
        [done] = await w.until_done(1)
        assert bytes(done.data) == b"fine"

    run(scenario, tmp_path)


ENDINGS: dict[str, tuple[Callable[[World], object], int]] = {
    "stop": (lambda w: w.server.say(Stop()), 0),
    "SIGTERM": (lambda w: w.worker.process.send_signal(signal.SIGTERM), 0),
    "SIGINT": (lambda w: w.worker.process.send_signal(signal.SIGINT), 0),
    "lifeline": (lambda w: w.worker.drop_lifeline(), 0),
    "server lost": (lambda w: w.server.close_control(), 1),
    "SIGKILL": (lambda w: w.worker.process.kill(), -signal.SIGKILL),
    "the server's refusal": (lambda w: w.server.say(Refusal("silent for 20 s")), 1),
}


@pytest.mark.parametrize(("end", "code"), ENDINGS.values(), ids=ENDINGS.keys())
def test_whatever_ends_it_its_programs_and_files_are_gone(
    tmp_path: Path, end: Callable[[World], object], code: int
) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)

    async def scenario(w: World) -> None:
        w.compute(f"setsid sleep 600 & echo $! > {started}; trap '' TERM INT; wait")
        pid = int(await asyncio.to_thread(started.read_text))
        tree = [*w.worker.tree(), psutil.Process(pid)]
        assert len(tree) >= 5, "worker, forkserver, two executors, a shell and its program"
        began = time.monotonic()
        end(w)
        assert await w.worker.exit_code() == code
        await w.until_nothing_is_left(tree)
        assert time.monotonic() - began < 5.0

    run(scenario, tmp_path)


def test_the_folder_of_a_killed_worker_is_swept_by_the_next_one(tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    left = workdir / "worker-killed"
    left.mkdir(parents=True)
    (left / "owner").write_bytes(msgspec.json.encode({"pid": 2**22 + 1, "start_time": 1.0}))

    async def scenario(w: World) -> None:
        assert not left.exists()

    run(scenario, tmp_path)


def test_a_message_that_contradicts_itself_ends_the_worker_with_a_reason(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        w.server.say(Compute(session=1, **{**columns(1), "attempt": pack("I", [])}))
        assert await w.worker.exit_code() == 1
        assert "attempt" in w.worker.stderr()

    run(scenario, tmp_path)


def refused_start(config: WorkerConfig, folder: Path) -> tuple[str, int, str]:
    """The reason, the exit code and the standard error of a worker that cannot start."""

    async def main() -> tuple[str, int, str]:
        worker = WorkerProcess(msgspec.structs.replace(config, workdir=str(folder / "work")))
        try:
            report = await worker.report()
            assert isinstance(report, StartFailed), report
            return report.reason, await worker.exit_code(), worker.stderr()
        finally:
            worker.close()

    result = asyncio.run(main())
    assert not (folder / "work").exists() or list((folder / "work").iterdir()) == []
    return result


def test_a_worker_that_listens_everywhere_is_known_by_the_address_of_its_way_to_the_server(tmp_path: Path) -> None:
    async def main() -> None:
        async with stand_in_server(tmp_path) as server:
            worker = WorkerProcess(
                WorkerConfig(
                    server_port=server.port,
                    access=str(server.access),
                    cpus=1,
                    host="0.0.0.0",
                    workdir=str(tmp_path / "work"),
                )
            )
            try:
                assert isinstance(await worker.report(), Started)
                assert server.hello is not None
                assert server.hello.data_host == "127.0.0.1"
                worker.process.terminate()
                assert await worker.exit_code() == 0
            finally:
                worker.close()

    asyncio.run(main())


def test_a_worker_that_is_told_to_end_while_it_starts_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with stand_in_server(tmp_path) as server:
            server.is_mute = True
            async with worker_of(server, tmp_path) as world:
                await server.until(lambda: server.hello is not None, "the worker should say hello")
                world.worker.drop_lifeline()
                report = await world.worker.report()
                assert isinstance(report, StartFailed)
                assert "told to end" in report.reason
                assert await world.worker.exit_code() == 0
                assert list((tmp_path / "work").iterdir()) == []

    asyncio.run(main())


def test_a_refusal_is_shown_in_the_servers_words(tmp_path: Path) -> None:
    async def main() -> None:
        async with stand_in_server(tmp_path) as server:
            server.answer = Refusal("you are too old for this")
            async with worker_of(server, tmp_path) as world:
                report = await world.worker.report()
                assert isinstance(report, StartFailed)
                assert "too old for this" in report.reason
                assert await world.worker.exit_code() == 1

    asyncio.run(main())


@pytest.fixture(scope="module")
def server() -> Iterator[Started]:
    program = ChildProgram(ServerConfig(port=0, http_port=0, kind="local"), embedded=True)
    try:
        yield program.wait_ready()
    finally:
        program.end()
        program.wait_ended()


def test_a_worker_registers_with_a_server_and_is_shown(server: Started, tmp_path: Path) -> None:
    async def main() -> None:
        ready_file = tmp_path / "ready"
        config = WorkerConfig(
            server_port=server.port,
            access=server.worker_access,
            cpus=1,
            resources=(("license", 2),),
            ready_file=str(ready_file),
            logdir=str(tmp_path / "logs"),
        )
        worker = WorkerProcess(config)
        try:
            report = await worker.report()
            assert isinstance(report, Started)
            assert ready_file.read_text() == "ready\n"
            [shown] = (await ask_server(server)).workers
            assert (shown.pid, shown.address) == (worker.process.pid, f"127.0.0.1:{report.port}")
            assert shown.offer.named == (("license", 2 * UNIT),)
            worker.process.terminate()
            assert await worker.exit_code() == 0
            assert not ready_file.exists()
            assert (tmp_path / "logs" / f"worker-{worker.process.pid}.log").read_text()
            assert worker.stderr() == ""
        finally:
            worker.close()

    asyncio.run(main())


async def ask_server(server: Started) -> ServerInfo:
    """What the server says of itself to a client."""
    context = new_context()
    answers: asyncio.Queue[Frame] = asyncio.Queue()

    def on_batch(batch: list[Frames]) -> None:
        for frame in chain.from_iterable(batch):
            answers.put_nowait(frame)

    access = read_access(Path(server.client_access))
    link = await Link.connect(
        context,
        access.host,
        access.port,
        keypair=access.keypair,
        server_key=access.server_key.encode(),
        on_batch=on_batch,
        on_lost=lambda _: None,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            link.send([encode(ClientHello(PROTOCOL_VERSION, Versions("", "", ""), "here", os.getpid()))])
            await answers.get()
            link.send([encode(QueryServer(1))])
            while True:
                message = to_client_decoder.decode(await answers.get())
                if isinstance(message, ServerInfo):
                    return message
    finally:
        link.close()
        close_context(context)


def test_a_worker_may_start_before_its_server_and_is_told_where_that_is(server: Started) -> None:
    program = ChildProgram(WorkerConfig(cpus=1), embedded=True, before_server=True)
    try:
        program.meet(server)
        assert program.wait_ready().pid == program.pid
    finally:
        program.end()
        program.wait_ended()
    assert program._process.returncode == 0


def test_a_worker_that_never_hears_of_a_server_ends_when_its_starter_says_so() -> None:
    program = ChildProgram(WorkerConfig(cpus=1), embedded=True, before_server=True)
    program.end()
    program.wait_ended()
    assert program._process.returncode == 0


def test_a_wrong_key_is_explained(server: Started, tmp_path: Path) -> None:
    keys = new_keypair()
    access = msgspec.structs.replace(
        read_access(Path(server.worker_access)), public_key=keys.public.decode(), secret_key=keys.secret.decode()
    )
    file = tmp_path / "wrong.json"
    file.write_bytes(msgspec.json.encode(access))
    file.chmod(0o600)
    reason, code, stderr = refused_start(WorkerConfig(server_port=server.port, access=str(file)), tmp_path)
    assert "refused the key" in reason
    assert (code, reason in stderr) == (1, True)


def test_a_server_that_is_not_there_is_explained(server: Started, tmp_path: Path) -> None:
    reason, code, _ = refused_start(WorkerConfig(server_port=1, access=server.worker_access), tmp_path)
    assert "nothing listens there" in reason
    assert code == 1


def test_missing_keys_are_explained(tmp_path: Path) -> None:
    reason, code, _ = refused_start(WorkerConfig(server_port=1), tmp_path)
    assert "No keys for the server" in reason
    assert code == 1


def test_an_offer_that_makes_no_sense_is_explained(tmp_path: Path) -> None:
    reason, code, _ = refused_start(WorkerConfig(server_port=1, cpus=0), tmp_path)
    assert "at least one cpu" in reason
    assert code == 1


def test_arguments_that_are_no_configuration_are_explained() -> None:
    answer = subprocess.run([sys.executable, "-m", "rain.worker", "{"], capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "expected one argument" in answer.stderr


def test_without_a_workdir_nothing_is_left_in_the_temporary_folder(server: Started) -> None:
    base = Path(tempfile.gettempdir()) / f"rain-{os.getuid()}"
    # Workers of other tests' clusters have folders there, too.
    before = set(base.glob("worker-*"))

    async def main() -> None:
        worker = WorkerProcess(WorkerConfig(server_port=server.port, access=server.worker_access, cpus=1))
        try:
            assert isinstance(await worker.report(), Started)
            assert set(base.glob("worker-*")) - before
            worker.drop_lifeline()
            assert await worker.exit_code() == 0
        finally:
            worker.close()

    asyncio.run(main())
    assert set(base.glob("worker-*")) - before == set()


def test_a_task_that_kills_the_parent_of_its_executor_fails_and_the_worker_goes_on(tmp_path: Path) -> None:
    async def scenario(w: World) -> None:
        w.compute("kill -9 $(awk '{print $4}' /proc/$PPID/stat); sleep 600")
        await w.server.until(lambda: any(isinstance(each, Failed) for each in w.server.heard), "the task should fail")
        [failed] = [each for each in w.server.heard if isinstance(each, Failed)]
        assert failed.failure.cause is Cause.EXECUTOR
        w.compute("printf fine", session=2)
        [done] = await w.until_done(1)
        assert bytes(done.data) == b"fine"

    run(scenario, tmp_path)


def test_an_input_that_a_task_spoilt_is_reported_as_lost_after_the_failure(tmp_path: Path) -> None:
    """Whoever needs it then gets it from elsewhere, or has it made again."""

    async def scenario(w: World) -> None:
        large = bytes(100_000)
        words = (TextWord("chmod +w f; echo spoilt > f"),)
        args = msgspec.msgpack.encode(ExecuteArgs(words=words, shell=True, files=(InputWord(0, path="f"),), stdout=0))
        w.server.stored[1, 0] = Stored(len(large), None, large)
        w.server.say(
            Compute(
                session=1,
                specs=(NumberedSpec(0, PROGRAM),),
                **{**columns(1), "n_inputs": pack("I", [1])},
                inputs=pack("I", [0]),
                args_size=pack("I", [len(args)]),
                args=memoryview(args),
                source=pack("I", [0]),
                source_holder=pack("I", [0]),
                source_size=pack("Q", [len(large)]),
                source_inline=pack("B", [0]),
            )
        )
        await w.server.until(
            lambda: any(isinstance(message, Unavailable) for message in w.server.heard), "the loss should be reported"
        )
        failed, lost = [message for message in w.server.heard if isinstance(message, Failed | Unavailable)]
        assert isinstance(failed, Failed)
        assert "changed its input 'f'" in failed.failure.message
        assert lost == Unavailable(1, pack("I", [0]), pack("I", [1]), EMPTY, EMPTY)

    run(scenario, tmp_path)


@pytest.mark.parametrize("role", ["client", "worker", "stranger"])
def test_the_keys_of_this_cluster_alone_open_the_data_endpoint(tmp_path: Path, role: str) -> None:
    async def scenario(w: World) -> None:
        w.compute("printf one")
        await w.until_done(1)
        assert w.server.hello is not None
        keys = {"client": w.server.client_keys, "worker": w.server.worker_keys, "stranger": new_keypair()}[role]
        asker = Fetcher(w.server.context, keys, tmp_path)
        try:
            asker.learn([Peer(1, "127.0.0.1", w.server.hello.data_port, w.server.hello.data_key)])
            expected = None if role == "stranger" else Stored(3, None, b"one")
            assert await asker.get(1, 1, [10]) == [expected]
        finally:
            asker.close()

    run(scenario, tmp_path)
