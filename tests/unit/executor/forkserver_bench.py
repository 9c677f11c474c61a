"""A real forkserver, driven by a test in the worker's place."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from rain.core.ids import object_name
from rain.core.kinds import Kind, PythonConfig
from rain.core.spec import OutputSpec, TaskSpec
from rain.data.dump import dump_call
from rain.data.function import dump_function
from rain.protocol.codec import encode
from rain.protocol.executor import (
    Exited,
    Fork,
    ForkCounts,
    Forked,
    Kill,
    Produced,
    Ready,
    Report,
    Run,
    RunInput,
    RunSpec,
    RunTask,
    TaskDone,
    TaskFailed,
    from_executor_decoder,
    from_forkserver_decoder,
)
from rain.wire.pipe import BlockingPipe

SESSION = 7
ONE_OUTPUT = (OutputSpec(),)


@dataclass
class ExecutorEnd:
    """The worker's end of one executor."""

    number: int
    pid: int
    pipe: BlockingPipe
    counts_fd: int

    def counts(self) -> tuple[int, int]:
        """Tasks begun and ended."""
        return struct.unpack("=QQ", os.pread(self.counts_fd, 16, 0))

    def receive(self) -> Report:
        data = self.pipe.recv()
        assert data is not None, "the executor is gone"
        message = from_executor_decoder.decode(data)
        assert isinstance(message, Report)
        return message


@dataclass
class ForkserverBench:
    """A forkserver in folders of its own; runs tasks on its first executor unless told otherwise."""

    root: Path
    #: Python that runs in the forkserver first, to break something.
    sabotage: str = ""
    process: subprocess.Popen[bytes] = field(init=False)
    pipe: BlockingPipe = field(init=False)
    executors: list[ExecutorEnd] = field(default_factory=list)
    n_tasks: int = 0

    def __post_init__(self) -> None:
        for name in ("store", "tasks", "stderr"):
            (self.root / name).mkdir(parents=True)
        ours, theirs = socket.socketpair()
        options = ["--socket-fd", str(theirs.fileno()), "--remove", str(self.root)]
        for name in ("store", "tasks", "stderr"):
            options += [f"--{name}", str(self.root / name)]
        self.process = subprocess.Popen(
            [sys.executable, *self._program(), *options],
            pass_fds=[theirs.fileno()],
            cwd=Path(__file__).parents[3],
        )
        theirs.close()
        self.pipe = BlockingPipe(ours)

    def _program(self) -> list[str]:
        if not self.sabotage:
            return ["-m", "rain.executor.forkserver"]
        return ["-c", f"import sys\n{self.sabotage}\nfrom rain.executor.forkserver import main\nmain(sys.argv[1:])"]

    def fork(self) -> ExecutorEnd:
        """A new executor, ready."""
        ours, theirs = socket.socketpair()
        counts_fd = os.memfd_create("counts")
        os.ftruncate(counts_fd, 16)
        number = len(self.executors) + 1
        self.pipe.send_with_fd(encode(Fork(number)), theirs.fileno())
        self.pipe.send_with_fd(encode(ForkCounts(number)), counts_fd)
        theirs.close()
        forked = self.hear()
        assert isinstance(forked, Forked)
        pipe = BlockingPipe(ours)
        assert from_executor_decoder.decode(pipe.recv() or b"") == Ready(forked.pid)
        executor = ExecutorEnd(number, forked.pid, pipe, counts_fd)
        self.executors.append(executor)
        return executor

    def hear(self) -> Forked | Exited:
        """The next message of the forkserver."""
        data = self.pipe.recv()
        assert data is not None, "the forkserver is gone"
        return from_forkserver_decoder.decode(data)

    def kill(self, executor: ExecutorEnd) -> Exited:
        """Kills an executor; returns how the forkserver reports its end."""
        self.pipe.send(encode(Kill(executor.number)))
        exited = self.hear()
        assert isinstance(exited, Exited)
        return exited

    def close(self) -> None:
        """Ends all, and asserts that nothing is left."""
        self.pipe.close()
        was_killed = self.process.poll() is not None
        status = self.process.wait(timeout=10)
        for executor in self.executors:
            executor.pipe.close()
            os.close(executor.counts_fd)
        self.executors.clear()
        if was_killed:
            return
        assert status == 0
        assert not self.root.exists(), "the forkserver did not remove its folder"

    # ------------------------------------------------------------------------------------------ tasks

    def send(self, spec: TaskSpec, *tasks: RunTask, executor: ExecutorEnd | None = None) -> ExecutorEnd:
        """Sends a batch; every task of it gets the spec."""
        executor = executor or (self.executors[0] if self.executors else self.fork())
        number = self.n_tasks
        tasks = tuple(msgspec.structs.replace(task, spec=number) for task in tasks)
        executor.pipe.send(encode(Run(SESSION, (RunSpec(SESSION, number, spec),), tasks)))
        return executor

    def task(self, *inputs: RunInput, args: bytes = b"") -> RunTask:
        """A task with numbers of its own."""
        self.n_tasks += 1
        return RunTask(self.n_tasks, 0, 0, 1000 + 10 * self.n_tasks, args, inputs)

    def outcome(self, spec: TaskSpec, *inputs: RunInput, args: bytes = b"") -> TaskDone | TaskFailed:
        """Runs one task."""
        task = self.task(*inputs, args=args)
        report = self.send(spec, task).receive()
        [ended] = report.done + report.failed
        assert ended.task == task.task
        return ended

    def done(self, spec: TaskSpec, *inputs: RunInput, args: bytes = b"") -> tuple[Produced, ...]:
        """The outputs of a task that must succeed."""
        ended = self.outcome(spec, *inputs, args=args)
        assert isinstance(ended, TaskDone), ended
        return ended.outputs

    def failure(self, spec: TaskSpec, *inputs: RunInput, args: bytes = b"") -> Any:
        """The failure of a task that must fail; nothing of it is left."""
        before = self.stored_names()
        ended = self.outcome(spec, *inputs, args=args)
        assert isinstance(ended, TaskFailed), ended
        assert self.stored_names() <= before
        return ended.failure

    # ------------------------------------------------------------------------------------------ the store

    def stored_names(self) -> set[str]:
        """Files in the store."""
        return {path.name for path in (self.root / "store").iterdir()}

    def stored_input(self, obj: int, data: bytes, content_type: str | None = None) -> RunInput:
        """An input that is a file of the store."""
        path = self.root / "store" / object_name(SESSION, obj)
        path.write_bytes(data)
        path.chmod(0o444)
        return RunInput(obj, len(data), content_type, None, str(path))

    def stored_result(self, task: int, position: int = 0) -> Path:
        """The file in which a large output of a task must be."""
        return self.root / "store" / object_name(SESSION, 1000 + 10 * task + position)


def inline_input(obj: int, data: bytes, content_type: str | None = None) -> RunInput:
    """An input whose bytes come with the task."""
    return RunInput(obj, len(data), content_type, data, None)


def python_spec(
    function: Any, *, outputs: tuple[OutputSpec, ...] = ONE_OUTPUT, config: PythonConfig | None = None
) -> TaskSpec:
    """A spec of a Python function."""
    return TaskSpec(
        kind=Kind.PYTHON,
        name=function.__name__,
        outputs=outputs,
        config=b"" if config is None else msgspec.msgpack.encode(config),
        body=dump_function(function),
    )


class Reference:
    """Stands for the input at a position."""

    def __init__(self, position: int) -> None:
        self.position = position


def call_args(*args: Any, **kwargs: Any) -> bytes:
    """Arguments of a Python task, in which `Reference`s stand for inputs."""
    return dump_call(args, kwargs, lambda value: value.position if isinstance(value, Reference) else None)
