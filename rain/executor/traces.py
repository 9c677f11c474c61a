"""Whether a task left anything behind that the next one must not find, or that is to be read: asked after every task.

Looking at the folder and at both files of output takes longer than a short task. So the kernel is asked for news of
all of them at once (inotify), and Python for moves to another folder and for forks. Where there is no inotify, such as
for a user who has used up all instances, the answer is always that it may have.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import sys
from collections.abc import Callable, Iterable
from typing import Any

_IN_MODIFY, _IN_ATTRIB, _IN_MOVED, _IN_CREATE, _IN_DELETE, _IN_SELF_GONE = 0x2, 0x4, 0xC0, 0x100, 0x200, 0xC00
_FILE_NEWS = _IN_MODIFY
_FOLDER_NEWS = _IN_ATTRIB | _IN_MOVED | _IN_CREATE | _IN_DELETE | _IN_SELF_GONE
_NEWS_BYTES = 64 << 10


class TaskTraces:
    """News of some files and of one folder, of moves to other folders, and of being a fork of the process."""

    def __init__(self, files: Iterable[str], folder: str) -> None:
        """To be made once in a process: what Python is asked for it tells for ever."""
        self._folder = folder
        #: What Python told: moves and forks.
        self._events: list[str] = []
        libc = ctypes.CDLL(None, use_errno=True)
        self._add_watch: Callable[[int, bytes, int], int] = libc.inotify_add_watch
        self._news: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._is_blind = self._news < 0
        self._poll = select.epoll()
        if not self._is_blind:
            self._poll.register(self._news, select.EPOLLIN)
        for file in files:
            self._watch(file, _FILE_NEWS)
        self._watch(folder, _FOLDER_NEWS)
        # A folder that is somebody's current one does not hear itself of its end.
        self._watch(os.path.dirname(folder), _IN_DELETE)
        sys.addaudithook(self._hear)
        os.register_at_fork(after_in_child=self._forked)

    def any(self) -> bool:
        """Whether there may be some since the last `clear`."""
        events, has_news = self.questions()
        return bool(events or has_news(0))

    def questions(self) -> tuple[list[str], Callable[[float], object]]:
        """For who asks very often: there may be some if the one is not empty, or the other, called with 0, says so."""
        return self._events, (lambda _: True) if self._is_blind else self._poll.poll

    def clear(self) -> None:
        """The files were emptied, and the folder is as it shall be; it may be another one than before."""
        self._events.clear()
        if self._is_blind:
            return
        self._watch(self._folder, _FOLDER_NEWS)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._news, _NEWS_BYTES):
                pass

    def _watch(self, path: str, news: int) -> None:
        # Of one that is watched already, this changes nothing.
        if not self._is_blind and self._add_watch(self._news, os.fsencode(path), news) < 0:
            self._is_blind = True

    def _forked(self) -> None:
        # The child of a task has no business in the loop over tasks.
        self._events.append("fork")

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "os.chdir" and not self._events:
            self._events.append(event)
