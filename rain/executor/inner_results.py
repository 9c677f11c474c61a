"""Results that later tasks of the same batch read: they are passed on here, while the worker hears of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from rain.core.content import DIRECTORY
from rain.protocol.executor import Produced, Run, RunInput, RunRange, RunTask


class InnerResults:
    """Of one batch at a time; costs nothing for batches whose tasks read nothing of one another."""

    __slots__ = ("_lost", "_made", "_n_outputs", "_skipped", "_tasks", "_wanted")

    def __init__(self) -> None:
        #: Objects that later tasks read, and what became of those that were made.
        self._wanted: set[int] = set()
        self._made: dict[int, RunInput] = {}
        self._lost: set[int] = set()
        #: What is in the message that runs, and which of those cannot run.
        self._tasks: Sequence[RunTask | RunRange] = ()
        self._n_outputs: dict[int, int] = {}
        self._skipped: set[int] = set()

    def begin(self, message: Run, n_outputs: dict[int, int]) -> list[RunTask]:
        """The tasks of a message are to run, with so many outputs by spec; those that cannot.

        The results of an earlier message of the same batch are still here.
        """
        self._wanted.update(message.inner)
        self._tasks, self._n_outputs = message.tasks, n_outputs
        self._skipped.clear()
        return self._unable() if self._lost else []

    def end(self, message: Run) -> None:
        """The tasks of the message ran."""
        if self._wanted and not message.goes_on:
            self._wanted.clear()
            self._made.clear()
            self._lost.clear()
        self._tasks = ()

    def complete(self, task: RunTask) -> RunTask | None:
        """The task with all its inputs; None where it cannot run."""
        if not self._wanted:
            return task
        if task.task in self._skipped:
            return None
        for given in task.inputs:
            if given.data is None and given.path is None:
                return replace(task, inputs=tuple([self._input(each) for each in task.inputs]))
        return task

    def keep(self, task: RunTask, outputs: tuple[Produced, ...] | None, path_of: Callable[[int], str]) -> list[RunTask]:
        """A task ended, without outputs where it failed; the later ones that cannot run for that.

        `path_of(object)`: where a large output is.
        """
        wanted, first = self._wanted, task.first_output
        if not wanted:
            return []
        n_lost = len(self._lost)
        for obj in range(first, first + self._n_outputs[task.spec]):
            if obj in wanted:
                found = None if outputs is None else _as_input(task, obj, outputs[obj - first], path_of(obj))
                if found is None:
                    self._lost.add(obj)
                else:
                    self._made[obj] = found
        return self._unable() if len(self._lost) > n_lost else []

    def keep_bytes(self, first: int, results: Iterable[bytes], content_type: str | None) -> None:
        """Tasks with one output each ended well; `first` is that of the first one."""
        if not self._wanted:
            return
        for obj, data in enumerate(results, first):
            if obj in self._wanted:
                self._made[obj] = RunInput(obj, len(data), content_type, data, None)

    def _input(self, given: RunInput) -> RunInput:
        if given.data is not None or given.path is not None:
            return given
        made = self._made[given.object]
        return replace(made, spec_user=given.spec_user) if given.spec_user else made

    def _unable(self) -> list[RunTask]:
        """Tasks that read, directly or not, what cannot be had, each once."""
        found = []
        for task in self._tasks:
            if isinstance(task, RunRange) or task.task in self._skipped:
                continue
            if any(given.data is None and given.path is None and given.object in self._lost for given in task.inputs):
                self._lost.update(range(task.first_output, task.first_output + self._n_outputs[task.spec]))
                self._skipped.add(task.task)
                found.append(task)
        return found


def _as_input(task: RunTask, obj: int, output: Produced, path: str) -> RunInput | None:
    """An output of a task as an input of another one; None where only the worker can make it one."""
    data, content_type = output.data, output.content_type
    if output.same_as_input is not None:
        source = task.inputs[output.same_as_input]
        if source.data is None:
            # Its file is another object's, which may go before the worker gave this one a name of its own.
            return None
        data, content_type = source.data, content_type or source.content_type
    if data is None and content_type == DIRECTORY:
        return None
    return RunInput(obj, output.size, content_type, data, path if data is None else None, output.user)
