"""Where the log of a program goes: standard error, or a file of its own."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from rain.core.errors import RainException

_STDERR = 2
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def start_logging(logdir: str | None, name: str) -> logging.Handler:
    """Send the log of everything in this process to `<name>.log` in the folder, else to standard error.

    Returns the handler, for `end_logging`. Raises RainException.
    """
    handler: logging.Handler
    if logdir is None:
        handler = logging.StreamHandler()
    else:
        path = Path(logdir).expanduser() / f"{name}.log"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handler = logging.FileHandler(path, encoding="utf-8")
        except OSError as error:
            raise RainException(f"cannot write the log {path}: {error.strerror}. Name another folder") from error
    handler.setFormatter(logging.Formatter(_FORMAT))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    return handler


def own_log() -> str:
    """The file that this process logs to, by `start_logging` or by its starter; empty where the log is no file."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            return handler.baseFilename
    try:
        is_file = stat.S_ISREG(os.fstat(_STDERR).st_mode)
        return str(Path(f"/proc/self/fd/{_STDERR}").readlink()) if is_file else ""
    except OSError:
        return ""


def end_logging(handler: logging.Handler) -> None:
    """Undo `start_logging`."""
    logging.getLogger().removeHandler(handler)
    handler.close()
