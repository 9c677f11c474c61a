"""Running the `rain` command as a person does in a shell."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def rain(*args: str, env: dict[str, str] | None = None, ok: bool = True) -> str:
    """Output of a `rain` command, both streams; `ok`: whether it must succeed."""
    answer = subprocess.run(
        [sys.executable, "-m", "rain.cli.main", *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **(env or {})},
    )
    said = answer.stdout + answer.stderr
    assert (answer.returncode == 0) == ok, f"rain {' '.join(args)} ended with {answer.returncode}:\n{said}"
    return said


def rain_json(*args: str) -> Any:
    """What a listing command prints with `--json`."""
    return json.loads(rain(*args, "--json"))


@contextmanager
def running(*options: str, env: dict[str, str] | None = None) -> Iterator[str]:
    """The address "host:port" of a cluster of `rain run` on a free port; it is stopped at the end."""
    said = rain("run", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", *options, env=env)
    found = re.search(r"server (127\.0\.0\.1:\d+)", said)
    assert found, said
    try:
        yield found[1]
    finally:
        rain("stop", found[1])


def write_script(path: Path, text: str) -> None:
    """An executable shell script."""
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def path_with_stand_ins(folder: Path) -> dict[str, str]:
    """An environment where `rain` is this project's, and `ssh HOST SCRIPT` runs the script here and logs the host."""
    write_script(folder / "rain", f'exec {sys.executable} -m rain.cli.main "$@"\n')
    write_script(
        folder / "ssh",
        f'while [ "${{1#-}}" != "$1" ]; do shift 2; done\n'
        f'echo "$1" >> {folder}/hosts-reached\n'
        f'[ "$1" = unreachable ] && {{ echo "ssh: no route to host" >&2; exit 255; }}\n'
        f'shift\nexec sh -c "$*"\n',
    )
    return {"PATH": f"{folder}:{os.environ['PATH']}"}
