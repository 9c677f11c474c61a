"""Where the worker's log goes: standard error, or a file of its own."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from rain.core.errors import RainException

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def open_log(logdir: str | None) -> logging.Handler:
    """Sends the log of this process to `worker-<pid>.log` in the folder, else to standard error.

    Returns the handler, for `close_log`. Raises RainException.
    """
    handler: logging.Handler
    if logdir is None:
        handler = logging.StreamHandler()
    else:
        path = Path(logdir).expanduser() / f"worker-{os.getpid()}.log"
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


def close_log(handler: logging.Handler) -> None:
    """Undoes `open_log`."""
    logging.getLogger().removeHandler(handler)
    handler.close()
