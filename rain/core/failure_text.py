"""Failures as text that one can read: the user's own frames, and how many others were left out."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rain.core.cells import FRAME, with_cell_names

if TYPE_CHECKING:
    from rain.core.errors import TaskException

#: The ends of what a task printed are shown up to so many lines.
MAX_LINES = 20

#: Code below these folders is not the user's: Rain's own, what runs a notebook's cells, libraries.
_RAIN = str(Path(__file__).parents[1]) + "/"
_STANDARD_LIBRARY = str(Path(traceback.__file__).parent) + "/"
_INSTALLED = ("/site-packages/", "/dist-packages/")


def is_users(file: str) -> bool:
    """Whether a source file is the user's own, and no library's."""
    if file.startswith((_RAIN, "<frozen ")) or any(folder in file for folder in _INSTALLED):
        return False
    # Another machine's Python may lie elsewhere.
    return not file.startswith(_STANDARD_LIBRARY) and re.search(r"/lib(64)?/python3\.\d+/", file) is None


def own_frames(text: str) -> str:
    """A traceback as text without the frames of libraries, but with how many there were in a row."""
    kept: list[str] = []
    n_left_out = 0
    is_left_out = False
    for line in text.rstrip().splitlines():
        frame = FRAME.match(line)
        if frame is not None:
            is_left_out = frame["file"] is not None and not is_users(frame["file"])
            n_left_out += is_left_out
        elif not line.startswith("    "):
            is_left_out = False
        if not is_left_out:
            if n_left_out:
                kept.append(_left_out(n_left_out))
                n_left_out = 0
            kept.append(line)
    return "\n".join([*kept, *([_left_out(n_left_out)] if n_left_out else [])])


def call_lines(trace: TracebackType | None) -> list[str]:
    """Where in the user's program an exception came up, without the frames of Rain and of libraries."""
    frames = [frame for frame in traceback.extract_tb(trace) if is_users(frame.filename)]
    return with_cell_names("".join(traceback.format_list(frames))).rstrip().splitlines()


def error_lines(error: Exception) -> list[str]:
    """What IPython shows of an error of Rain: where it came up in the user's program, and what it says."""
    where = call_lines(error.__traceback__)
    head = ["Traceback (most recent call last; without Rain's own frames):", *where] if where else []
    return [*head, f"{type(error).__name__}: {error}"]


def failure_lines(error: TaskException) -> list[str]:
    """What IPython shows of a failed task: what it is about first, then where it was waited for."""
    lines = [f"{type(error).__name__}: {error.headline}"]
    if error.remote_traceback.strip():
        lines += ["", *_indented(own_frames(error.remote_traceback))]
    if error.made_at:
        source = f"\n    {error.made_source}" if error.made_source else ""
        lines += ["", f"made at {error.made_at}{source}"]
    for title, text in (("debug", error.debug), ("stderr", error.stderr)):
        if text.strip() and text.strip() not in error.headline:
            lines += ["", f"{title}:", *_indented(_end(text))]
    if error.not_run:
        lines += ["", not_run_text(error)]
    where = call_lines(error.__traceback__)
    if where:
        lines += ["", "waited for here:", *where[-2:]]
    return lines


def not_run_text(error: TaskException) -> str:
    """How many tasks never ran, and the one cause of that."""
    n = error.not_run
    return f"{n:,} {'task' if n == 1 else 'tasks'} did not run because of {error.task_id}"


def _left_out(count: int) -> str:
    return f"  … {count} {'frame' if count == 1 else 'frames'} of libraries"


def _end(text: str) -> str:
    lines = text.rstrip().splitlines()
    return "\n".join(lines if len(lines) <= MAX_LINES else [f"… {len(lines) - MAX_LINES} lines", *lines[-MAX_LINES:]])


def _indented(text: str) -> Iterator[str]:
    lines: Iterable[str] = text.splitlines()
    return (f"  {line}" for line in lines)
