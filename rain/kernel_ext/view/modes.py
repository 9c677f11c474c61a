"""How sessions are shown: `RAIN_PROGRESS`, or what suits whoever looks."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Mapping
from typing import Any

from rain.core.errors import RainException

#: The environment variable.
VARIABLE = "RAIN_PROGRESS"


class Mode(enum.StrEnum):
    """What is shown of a session."""

    #: A picture that goes on.
    HTML = "html"
    #: In a terminal: a line that goes on while a command waits, and a summary at its end.
    TEXT = "text"
    #: One line at the end of a wait, the same for the same work.
    STATIC = "static"
    #: Nothing.
    OFF = "off"


def mode(shell: Any, environ: Mapping[str, str] = os.environ) -> Mode:
    """What is asked for, else the picture in a notebook, text in a terminal, one line where nobody watches.

    Nobody watches what runs in continuous integration, is no terminal, or cannot be asked for input: nbclient, nbval
    and nbconvert tell the kernel so. Raises RainException for a word that is no mode.
    """
    word = environ.get(VARIABLE, "").strip().lower() or "auto"
    if word != "auto":
        try:
            return Mode(word)
        except ValueError:
            there = ", ".join(("auto", *Mode))
            raise RainException(f"{VARIABLE}: expected one of {there}, found {word!r}") from None
    if environ.get("CI", "").lower() not in ("", "0", "false"):
        return Mode.STATIC
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        return Mode.HTML if getattr(kernel, "_allow_stdin", True) else Mode.STATIC
    return Mode.TEXT if sys.stdout.isatty() else Mode.STATIC


def may_control(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a line of the terminal may be written over."""
    return sys.stdout.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
