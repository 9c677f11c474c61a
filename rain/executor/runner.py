"""What the executor's loop asks of a kind of task."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from rain.core.note import TaskProgress
from rain.executor.outlet import Outlet
from rain.executor.results import ResultStore
from rain.executor.shares import Shares
from rain.executor.traces import TaskTraces
from rain.executor.workplace import CapturedOutput, CurrentFolder
from rain.protocol.executor import Produced, RunTask


@dataclasses.dataclass(slots=True, frozen=True)
class Surroundings:
    """What all tasks of one executor share."""

    store: ResultStore
    folder: CurrentFolder
    output: CapturedOutput
    traces: TaskTraces
    outlet: Outlet
    #: For what one task needs on disk besides its current folder; on the same file system.
    scratch: str
    #: Of the worker's environment without Rain's own variables, and of what each task asked for.
    shares: Shares

    @property
    def staging(self) -> str:
        """Where Python tasks put aside what they may return."""
        return f"{self.scratch}/staged"


@dataclasses.dataclass(slots=True)
class Notes:
    """What a task says beside its result; goes with its report."""

    debug: str = ""
    #: JSON.
    user: bytes = b""
    #: Of a program; what a Python task prints, the loop takes from the captured output.
    stdout: str = ""
    stderr: str = ""
    progress: TaskProgress | None = None


class Runner(Protocol):
    """Runs the tasks of one spec."""

    #: Whether its tasks take longer than a flush of the results that wait: then those go out first.
    slow: bool
    #: What the task that ended last left, None for nothing; taken and reset by the loop.
    notes: Notes | None

    def run(self, task: RunTask) -> tuple[Produced, ...]:
        """The outputs of one attempt, in the order of the spec. Whatever it raises fails the attempt."""
        ...
