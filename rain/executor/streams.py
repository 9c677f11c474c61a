"""Where a program's standard output and standard error go: to an output of its task, or to what is captured of it."""

from __future__ import annotations

import contextlib
import os

from rain.executor.workplace import CapturedOutput, captured, tail

_WRITING = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class Streams:
    """The two streams of one program.

    All files lie where the worker finds what was written last, should this process be killed with the program.
    """

    def __init__(self, output: CapturedOutput, stdout: int | None, stderr: int | None) -> None:
        """`stdout`, `stderr`: the numbers of the outputs that they become; None: they are captured only."""
        self._output = output
        self._files = {
            descriptor: output.stream(descriptor)
            for descriptor, number in ((1, stdout), (2, stderr))
            if number is not None
        }
        self.outputs = {
            number: output.stream(descriptor) for descriptor, number in ((1, stdout), (2, stderr)) if number is not None
        }

    def file_actions(self) -> list[tuple[int, int, str, int, int] | tuple[int, int, int]]:
        """What gives them to a new process."""
        return [
            (os.POSIX_SPAWN_OPEN, descriptor, self._files[descriptor], _WRITING, 0o600)
            if descriptor in self._files
            else (os.POSIX_SPAWN_DUP2, self._output.file(descriptor), descriptor)
            for descriptor in (1, 2)
        ]

    def error_tail(self) -> str:
        """The end of standard error."""
        if 2 not in self._files:
            return self._output.error_tail()
        with contextlib.suppress(FileNotFoundError), open(self._files[2], "rb") as file:
            return tail(file.fileno())
        return ""

    def of_outputs(self) -> tuple[str, str]:
        """The ends of what would have become outputs, had the program not failed."""
        return self._captured(1), self._captured(2)

    def _captured(self, descriptor: int) -> str:
        if descriptor in self._files:
            with contextlib.suppress(FileNotFoundError), open(self._files[descriptor], "rb") as file:
                return captured(file.fileno())
        return ""

    def clear(self) -> None:
        """Removes what did not become an output."""
        for path in self._files.values():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
