"""Laying a graph out within a time limit, by what is there: the wheel of pygraphviz in a child process, else `dot`."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

#: A repr never takes longer.
LIMIT_S = 10.0

_PROGRAM = Path(__file__).with_name("layout_process.py")


class LayoutFailed(Exception):
    """There is no drawing; the text says why."""


def laid_out(source: str, file_format: str = "svg", engine: str = "dot", limit_s: float = LIMIT_S) -> bytes:
    """A graph in the DOT language as a file of this format. Raises LayoutFailed."""
    command = _command(file_format, engine)
    if command is None:
        raise LayoutFailed("to see it drawn, install pygraphviz: pip install 'rain[jupyter]'")
    try:
        result = subprocess.run(command, input=source.encode(), capture_output=True, timeout=limit_s, check=True)
    except subprocess.TimeoutExpired:
        raise LayoutFailed(
            f"laying it out took more than {limit_s:g} s: draw less of it, graph(around=task), graph(group=name)"
        ) from None
    except (subprocess.CalledProcessError, OSError) as error:
        said = getattr(error, "stderr", b"") or str(error).encode()
        last = said.decode(errors="replace").strip().splitlines()[-1:] or ["nothing was said"]
        raise LayoutFailed(f"it could not be laid out: {last[0]}") from None
    return result.stdout


def _command(file_format: str, engine: str) -> list[str] | None:
    # In a process of its own: Graphviz cannot be interrupted, and a kernel must not wait for it. Not by `-m`, which
    # would look for the program where the kernel runs.
    if importlib.util.find_spec("pygraphviz") is not None:
        return [sys.executable, "-P", str(_PROGRAM), file_format, engine]
    program = shutil.which(engine)
    return None if program is None else [program, f"-T{file_format}"]
