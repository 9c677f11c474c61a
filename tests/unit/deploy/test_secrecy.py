"""What programs that hold keys ask of the system."""

from __future__ import annotations

import subprocess
import sys

_SHOW = """
import os, resource, sys
from rain.deploy.secrecy import allow_connections, keep_secrets
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
os.umask(0)
keep_secrets()
allow_connections()
print(oct(os.umask(0)), resource.getrlimit(resource.RLIMIT_CORE)[0], *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_files_are_private_no_core_is_written_and_as_many_peers_as_possible_may_come() -> None:
    said = subprocess.run([sys.executable, "-c", _SHOW], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["0o77", "0", "128", "128"]
