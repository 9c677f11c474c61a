"""The table of kinds: which runner runs which tasks."""

from __future__ import annotations

from collections.abc import Callable

from rain.core.kinds import Kind
from rain.core.spec import TaskSpec
from rain.executor.builtins import ConcatRunner, LoadRunner, SleepRunner
from rain.executor.directories import LoadDirectoryRunner, MakeDirectoryRunner, SliceDirectoryRunner
from rain.executor.exporting import StoreRunner
from rain.executor.program import ProgramRunner
from rain.executor.pyfunc import PythonRunner
from rain.executor.runner import Runner, Surroundings

RUNNERS: dict[Kind, Callable[[int, TaskSpec, Surroundings], Runner]] = {
    Kind.PYTHON: PythonRunner,
    Kind.EXECUTE: ProgramRunner,
    Kind.CONCAT: ConcatRunner,
    Kind.LOAD: LoadRunner,
    Kind.STORE: StoreRunner,
    Kind.SLEEP: SleepRunner,
    Kind.MAKE_DIRECTORY: MakeDirectoryRunner,
    Kind.SLICE_DIRECTORY: SliceDirectoryRunner,
    Kind.LOAD_DIRECTORY: LoadDirectoryRunner,
}
