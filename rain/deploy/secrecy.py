"""What a program that holds keys asks of the system when it starts."""

from __future__ import annotations

import os
import resource


def keep_secrets() -> None:
    """What this process writes is for its own user alone, and nothing of its memory is written when it crashes.

    The programs that it starts inherit both.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def allow_connections() -> None:
    """As many open files as the system allows: every peer is one, strangers who never prove themselves included."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
