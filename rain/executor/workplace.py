"""Where the tasks of one executor work: an empty current folder, and a file that takes what they print."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from pathlib import Path

from rain.core.errors import RainException
from rain.core.note import MAX_CAPTURED_BYTES
from rain.data import tree_removal

#: How much of standard error a failure carries.
STDERR_TAIL_BYTES = 2 << 10


class CurrentFolder:
    """A folder that every task finds empty and as its current one; made anew only after a task that touched it."""

    __slots__ = ("_expected", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        Path(path).mkdir(mode=0o700, parents=True)
        self._settle()

    def restore(self) -> None:
        """To be called after every task; one `stat` where the task left everything as it was."""
        os.umask(0o077)
        try:
            found = os.stat(".")
            if (found.st_mtime_ns, found.st_ino, found.st_nlink, found.st_mode) == self._expected:
                return
        except OSError:
            pass  # the task took its own current folder away
        remove_tree(self.path)
        Path(self.path).mkdir(mode=0o700, parents=True)
        self._settle()

    def enter(self) -> None:
        """Makes it the current one again, after a task that ran elsewhere."""
        try:
            os.chdir(self.path)
        except OSError:
            self.restore()  # the task took it away

    def _settle(self) -> None:
        os.chdir(self.path)
        # A time that no change can leave behind, however coarse the file system's clock is.
        os.utime(".", (0, 0))
        found = os.stat(".")
        self._expected = (found.st_mtime_ns, found.st_ino, found.st_nlink, found.st_mode)


class CapturedOutput:
    """Standard output and standard error of this process, each as a file that is emptied when a task starts."""

    __slots__ = ("_files", "_stem")

    def __init__(self, stem: str) -> None:
        """Redirects descriptors 1 and 2, and `sys.stdout` and `sys.stderr`, to `stem`.stdout and `stem`.stderr."""
        self._stem = stem
        self._files = [_redirect(1, f"{stem}.stdout"), _redirect(2, f"{stem}.stderr")]
        sys.stdout, sys.stderr = _unbuffered(1), _unbuffered(2)

    def take(self) -> tuple[str, str] | None:
        """The ends of what was written since the last call, as texts; one cheap call per file where that was nothing.

        To be called when a task has ended, and before the first one after a pause, in which only processes write that
        tasks left behind.
        """
        stdout, stderr = self._files
        if not (os.lseek(stdout, 0, os.SEEK_END) or os.lseek(stderr, 0, os.SEEK_END)):
            return None
        texts = captured(stdout), captured(stderr)
        for file in self._files:
            os.ftruncate(file, 0)
        return texts

    def file(self, descriptor: int) -> int:
        """The open file that takes standard output (1) or standard error (2)."""
        return self._files[descriptor - 1]

    def stream(self, descriptor: int) -> str:
        """The file for standard output (1) or standard error (2) of a program where that becomes an output."""
        return f"{self._stem}.{'stdout' if descriptor == 1 else 'stderr'}.output"

    def error_tail(self) -> str:
        """The end of what the current task wrote to standard error."""
        return tail(self._files[1])


def tail(file: int) -> str:
    """The last `STDERR_TAIL_BYTES` of an open file as text."""
    size = os.lseek(file, 0, os.SEEK_END)
    data = os.pread(file, STDERR_TAIL_BYTES, max(0, size - STDERR_TAIL_BYTES))
    return data.decode("utf-8", errors="replace")


def captured(file: int) -> str:
    """The last `MAX_CAPTURED_BYTES` of an open file as text; a first line says how much was cut off before."""
    size = os.lseek(file, 0, os.SEEK_END)
    if not size:
        return ""
    start = max(0, size - MAX_CAPTURED_BYTES)
    data = os.pread(file, MAX_CAPTURED_BYTES, start)
    if not start:
        return data.decode("utf-8", errors="replace")
    # It may have been cut within a character.
    skipped = next((place for place, byte in enumerate(data[:4]) if byte & 0xC0 != 0x80), 0)
    return f"… {start + skipped} bytes cut off …\n{data[skipped:].decode('utf-8', errors='replace')}"


def empty_folder(path: str) -> None:
    """Removes all that lies in a folder, or makes a new one where there is none; cheap where it is empty already."""
    try:
        # Not a link that a task put there, and with the permissions that it was made with.
        if os.lstat(path).st_mode == stat.S_IFDIR | 0o700:
            for entry in os.scandir(path):
                if entry.is_dir(follow_symlinks=False):
                    remove_tree(entry.path)
                else:
                    os.unlink(entry.path)
            return
        remove_tree(path)
    except FileNotFoundError:
        pass
    os.makedirs(path, 0o700)


def remove_tree(path: str) -> None:
    """Removes a folder and all in it, also where a task took away the permission to; nothing if it is gone."""
    with contextlib.suppress(RainException):
        tree_removal.remove_tree(Path(path))


def _redirect(descriptor: int, path: str) -> int:
    # Appending, so that truncation also moves where the next writer writes.
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(file, descriptor, inheritable=True)
    return file


def _unbuffered(descriptor: int) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
