"""What Python's fault handler writes when a task crashes in C code, with the user's own frames and without Rain's."""

from __future__ import annotations

import re
from pathlib import Path

_RAIN = re.escape(str(Path(__file__).parents[1]) + "/")
_OWN_FRAMES = re.compile(rf'^  File "(?:{_RAIN}[^"]*|<frozen runpy>)", line \d+ in .*\n?', re.MULTILINE)
_MODULES = re.compile(r"^\n?Extension modules: .*\n?", re.MULTILINE)


def users_frames(stderr: str) -> str:
    """The end of standard error, without the lines that tell nothing about the task."""
    if "(most recent call first):" not in stderr:
        return stderr
    return _MODULES.sub("", _OWN_FRAMES.sub("", stderr))
