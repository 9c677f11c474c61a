"""Tracebacks of tasks with the lines of their sources: those of a notebook's cells are known here only."""

from __future__ import annotations

import linecache
import re

_FRAME = re.compile(r'( *)File "(.+)", line (\d+)(?:, in .+)?$')


def with_source_lines(traceback: str) -> str:
    """The text of a traceback in which frames that lack their line have it, as far as this program has the source."""
    lines = traceback.splitlines()
    shown: list[str] = []
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        shown.append(line)
        frame = _FRAME.match(line)
        if frame is None or following.startswith(frame[1] + "  "):
            continue
        source = linecache.getline(frame[2], int(frame[3])).strip()
        if source:
            shown.append(f"{frame[1]}  {source}")
    return "\n".join(shown) + ("\n" if traceback.endswith("\n") else "")
