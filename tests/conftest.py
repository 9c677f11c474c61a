"""Every run of the tests has folders of its own, and fails when it leaves a process or a file behind."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests import leaks

#: How long processes may take to end after the last test.
GRACE_S = 5.0

SYSTEM_PACKAGES = Path(__file__).parents[1] / "scripts" / "system-packages.txt"


@pytest.fixture(scope="session", autouse=True)
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that holds all that Rain writes in this run; it is checked and removed at the end.

    Its path is short, since the path of a Unix socket has at most 107 bytes.
    """
    # pytest's own folder stays where pytest keeps it, so that the files of a failed test can be looked at afterwards.
    tmp_path_factory.getbasetemp()
    folder = Path(tempfile.mkdtemp(prefix="rt-", dir="/tmp" if os.access("/tmp", os.W_OK) else None))
    run_id = uuid.uuid4().hex
    with pytest.MonkeyPatch.context() as patch:
        for variable in [name for name in os.environ if name.startswith("RAIN_")]:
            patch.delenv(variable)
        patch.setenv(leaks.RUN_VARIABLE, run_id)
        for variable, name in {
            "XDG_RUNTIME_DIR": "run",
            "XDG_STATE_HOME": "state",
            "XDG_CONFIG_HOME": "config",
            "XDG_DATA_HOME": "share",
            "XDG_CACHE_HOME": "cache",
            "TMPDIR": "tmp",
        }.items():
            (folder / name).mkdir(mode=0o700)
            patch.setenv(variable, str(folder / name))
        # What `tempfile` remembers from before.
        patch.setattr(tempfile, "tempdir", None)
        yield folder
        complaints = _left_processes(run_id) + _left_files(folder)
    shutil.rmtree(folder)
    if complaints:
        pytest.fail("The tests left behind:\n" + "\n".join(complaints), pytrace=False)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test marked `needs(program)` where the program is missing, and says how to get it."""
    for marker in item.iter_markers("needs"):
        [program] = marker.args
        if shutil.which(program) is None:
            pytest.skip(_how_to_get(program))


def _how_to_get(program: str) -> str:
    lines = (line.split("#")[0].split() for line in SYSTEM_PACKAGES.read_text(encoding="utf-8").splitlines())
    packages = dict(line for line in lines if line)
    if program not in packages:
        raise pytest.UsageError(
            f"'{program}' is not in {SYSTEM_PACKAGES}; add it with the Debian package it comes from"
        )
    return f"{program} is not installed: sudo apt-get install --no-install-recommends {packages[program]}"


def _left_processes(run_id: str) -> list[str]:
    complaints = []
    leaked = leaks.leaked_processes(run_id, grace_s=GRACE_S)
    for process in leaked:
        try:
            complaints.append(f"process {process.pid}: {' '.join(process.cmdline())}")
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(leaked, timeout=GRACE_S)
    return complaints


def _left_files(folder: Path) -> list[str]:
    left = leaks.leaked_files(folder / "run") + leaks.leaked_entries(folder / "tmp")
    return [f"file or folder {path.relative_to(folder)}" for path in left]
