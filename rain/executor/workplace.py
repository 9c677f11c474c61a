"""Where the tasks of one executor work: an empty current folder, and a file that takes what they print."""

from __future__ import annotations

import io
import os
import shutil
import stat
import sys
from pathlib import Path

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

    __slots__ = ("_files",)

    def __init__(self, stem: str) -> None:
        """Redirects descriptors 1 and 2, and `sys.stdout` and `sys.stderr`, to `stem`.stdout and `stem`.stderr."""
        self._files = [_redirect(1, f"{stem}.stdout"), _redirect(2, f"{stem}.stderr")]
        sys.stdout, sys.stderr = _unbuffered(1), _unbuffered(2)

    def begin(self) -> None:
        """Forgets what earlier tasks wrote; one cheap call per file where that was nothing."""
        for file in self._files:
            if os.lseek(file, 0, os.SEEK_END):
                os.ftruncate(file, 0)

    def error_tail(self) -> str:
        """The end of what the current task wrote to standard error."""
        return tail(self._files[1])


def tail(file: int) -> str:
    """The last `STDERR_TAIL_BYTES` of an open file as text."""
    size = os.lseek(file, 0, os.SEEK_END)
    data = os.pread(file, STDERR_TAIL_BYTES, max(0, size - STDERR_TAIL_BYTES))
    return data.decode("utf-8", errors="replace")


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
    try:
        if os.path.islink(path) or not os.path.isdir(path):
            os.unlink(path)
            return
        os.chmod(path, 0o700)
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except PermissionError:
        for folder, names, _ in os.walk(path):
            # Before the walk goes into them.
            for name in names:
                if not os.path.islink(f"{folder}/{name}"):
                    os.chmod(f"{folder}/{name}", 0o700)
        shutil.rmtree(path, ignore_errors=True)


def _redirect(descriptor: int, path: str) -> int:
    # Appending, so that truncation also moves where the next writer writes.
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(file, descriptor, inheritable=True)
    return file


def _unbuffered(descriptor: int) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
