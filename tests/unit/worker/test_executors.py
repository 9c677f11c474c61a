"""Executors as the worker sees them, with the real forkserver."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from rain.core.kinds import ExecuteArgs, Kind, PythonConfig, SleepArgs, TextWord
from rain.core.spec import TaskSpec
from rain.data.function import dump_function
from rain.protocol.executor import Progressed, Report, Run, RunInput, RunSpec, RunTask
from rain.worker.executors import Executors, ProcessEnd
from rain.worker.folders import WorkerFolders, make_folders
from rain.worker.forkserver import ForkserverProcess

PATIENCE_S = 20.0
SLEEP = TaskSpec(Kind.SLEEP)
EXECUTE = TaskSpec(Kind.EXECUTE, outputs=())


class Heard:
    """Everything that was said, in order."""

    def __init__(self) -> None:
        self.news: list[tuple[str, int, Any]] = []
        self._changed = asyncio.Event()

    def _add(self, what: str, executor: int, detail: Any) -> None:
        self.news.append((what, executor, detail))
        self._changed.set()

    def executor_ready(self, executor: int) -> None:
        self._add("ready", executor, None)

    def executor_reported(self, executor: int, report: Report) -> None:
        self._add("report", executor, report)

    def executor_progressed(self, executor: int, message: Progressed) -> None:
        self._add("progress", executor, message)

    def executor_ended(self, executor: int, ending: ProcessEnd) -> None:
        self._add("ended", executor, ending)

    def forkserver_died(self) -> None:
        self._add("forkserver", -1, None)

    async def until(self, what: str, executor: int) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for kind, number, detail in self.news:
                    if (kind, number) == (what, executor):
                        return detail
                self._changed.clear()
                await self._changed.wait()


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folders: WorkerFolders = make_folders(str(folder))
        self.heard = Heard()
        self.forkserver = ForkserverProcess(self.folders)
        self.executors = Executors(self.forkserver, self.folders, self.heard)

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.forkserver.pid).children(recursive=True)


@asynccontextmanager
async def bench_in(folder: Path) -> AsyncIterator[Bench]:
    bench = Bench(folder)
    try:
        yield bench
    finally:
        await bench.executors.close()
        bench.folders.remove()


def run(scenario: Callable[[Bench], Coroutine[Any, Any, None]], folder: Path) -> None:
    async def main() -> None:
        async with bench_in(folder) as bench:
            await scenario(bench)

    asyncio.run(main())


def sleep(*seconds: float) -> Run:
    tasks = tuple(
        RunTask(task, 0, 0, task, msgspec.msgpack.encode(SleepArgs(pause)), (RunInput(99, 2, None, b"hi", None),))
        for task, pause in enumerate(seconds)
    )
    return Run(1, (RunSpec(1, 0, SLEEP),), tasks)


def shell(*lines: str) -> Run:
    args = [msgspec.msgpack.encode(ExecuteArgs(words=(TextWord(line),), shell=True)) for line in lines]
    tasks = tuple(RunTask(task, 0, 0, 0, each, ()) for task, each in enumerate(args))
    return Run(1, (RunSpec(1, 0, EXECUTE),), tasks)


def test_an_executor_runs_a_batch_and_reports_it(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.executors.start(0)
        await bench.heard.until("ready", 0)
        bench.executors.send(0, sleep(0.0))
        report = await bench.heard.until("report", 0)
        assert [done.task for done in report.done] == [0]

    run(scenario, tmp_path)


def test_a_killed_executor_ends_with_how_many_tasks_it_had_begun(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    os.mkfifo(begun)

    async def scenario(bench: Bench) -> None:
        bench.executors.start(3)
        await bench.heard.until("ready", 3)
        bench.executors.send(3, shell("true", f"echo > {begun}; sleep 600", "true"))
        await bench.heard.until("report", 3)
        await asyncio.to_thread(begun.read_text)
        bench.executors.kill(3)
        ending = await bench.heard.until("ended", 3)
        assert (ending.exit_code, ending.signal, ending.n_started) == (None, signal.SIGKILL, 2)
        assert [what for what, _, _ in bench.heard.news] == ["ready", "report", "ended"]
        assert bench.descendants() == []
        assert list(bench.folders.tasks.iterdir()) == []
        assert list(bench.folders.stderr.iterdir()) == []

    run(scenario, tmp_path / "work")


def test_what_a_killed_task_had_started_is_gone_when_the_end_is_reported(tmp_path: Path) -> None:
    started = tmp_path / "started"

    async def scenario(bench: Bench) -> None:
        bench.executors.start(0)
        await bench.heard.until("ready", 0)
        os.mkfifo(started)
        bench.executors.send(0, shell(f"setsid sleep 600 & echo $! > {started}; wait"))
        pid = int(await asyncio.to_thread(started.read_text))
        assert psutil.pid_exists(pid)
        bench.executors.kill(0)
        await bench.heard.until("ended", 0)
        assert not psutil.pid_exists(pid)

    run(scenario, tmp_path / "work")


def test_a_half_written_result_of_a_killed_executor_is_removed(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.executors.start(0)
        bench.executors.start(1)
        await bench.heard.until("ready", 0)
        mine, other = (bench.folders.store / f".e{number}.s1.o1" for number in (0, 1))
        mine.write_bytes(b"half")
        other.write_bytes(b"half")
        bench.executors.kill(0)
        await bench.heard.until("ended", 0)
        assert not mine.exists()
        assert other.exists()

    run(scenario, tmp_path)


def test_a_forkserver_that_is_killed_takes_its_executors_and_their_programs_along_and_is_replaced(
    tmp_path: Path,
) -> None:
    begun = tmp_path / "begun"
    os.mkfifo(begun)

    async def scenario(bench: Bench) -> None:
        bench.executors.start(0)
        bench.executors.start(1)
        await bench.heard.until("ready", 0)
        await bench.heard.until("ready", 1)
        bench.executors.send(0, shell(f"setsid sleep 600 & echo > {begun}; sleep 600"))
        await asyncio.to_thread(begun.read_text)
        left = bench.descendants()
        assert len(left) >= 4, "two executors, a shell and a program; it may not have started the second yet"
        os.kill(bench.forkserver.pid, signal.SIGKILL)
        ending = await bench.heard.until("ended", 0)
        assert (ending.exit_code, ending.signal, ending.n_started) == (None, signal.SIGKILL, 1)
        assert (await bench.heard.until("ended", 1)).n_started == 0
        gone, alive = await asyncio.to_thread(psutil.wait_procs, left, PATIENCE_S)
        assert (len(gone), alive) == (len(left), [])
        bench.executors.start(2)
        await bench.heard.until("ready", 2)
        bench.executors.send(2, sleep(0.0))
        assert len((await bench.heard.until("report", 2)).done) == 1
        assert [path.name for path in bench.folders.tasks.iterdir()] == ["e2"]

    run(scenario, tmp_path / "work")


def test_closing_ends_everything(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.executors.start(0)
        await bench.heard.until("ready", 0)
        bench.executors.send(0, sleep(600.0))
        everything = [psutil.Process(bench.forkserver.pid), *bench.descendants()]
        await bench.executors.close()
        assert not any(process.is_running() for process in everything)
        assert [what for what, _, _ in bench.heard.news] == ["ready"]

    run(scenario, tmp_path)


@pytest.mark.parametrize(
    "crime",
    [
        "os.closerange(3, 256); time.sleep(600)",
        "[os.write(fd, b'nonsense' * 99) for fd in sockets()]; time.sleep(600)",
        "[os.write(fd, (1 << 30).to_bytes(4, 'little')) for fd in sockets()]; time.sleep(600)",
    ],
    ids=["closed", "nonsense", "too large"],
)
def test_a_task_that_spoils_its_executor_s_pipe_is_killed(tmp_path: Path, crime: str) -> None:
    def task() -> None:
        def sockets() -> list[int]:
            return [int(link.name) for link in Path("/proc/self/fd").iterdir() if "socket" in str(link.resolve())]

        exec(crime, {"os": os, "time": time, "sockets": sockets})

    async def scenario(bench: Bench) -> None:
        bench.executors.start(0)
        await bench.heard.until("ready", 0)
        config = msgspec.msgpack.encode(PythonConfig(with_context=False))
        spec = TaskSpec(Kind.PYTHON, body=dump_function(task), config=config)
        bench.executors.send(0, Run(1, (RunSpec(1, 0, spec),), (RunTask(0, 0, 0, 0, b"", ()),)))
        ending = await bench.heard.until("ended", 0)
        assert ending.signal == signal.SIGKILL
        assert bench.descendants() == []

    run(scenario, tmp_path)
