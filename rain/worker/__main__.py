"""`python -m rain.worker JSON`: the worker as a program of its own; the argument is a `WorkerConfig`."""

from __future__ import annotations

import sys

import msgspec

from rain.core.config import WorkerConfig
from rain.deploy.secrecy import keep_secrets
from rain.wire.allocation import keep_freed_memory
from rain.worker.program import run_worker

#: More than the data that is under way to and from others at any time.
KEPT_BYTES = 32 << 20


def run(config: WorkerConfig) -> int:
    """Runs a worker until it is told to end; the exit code: 0, or 1 when it could not start or lost its server."""
    keep_secrets()
    keep_freed_memory(KEPT_BYTES)
    return run_worker(config)


def main(arguments: list[str]) -> int:
    """The exit code of the program with these arguments; 2 when they make no sense."""
    try:
        [text] = arguments
        config = msgspec.json.decode(text, type=WorkerConfig)
    except (ValueError, msgspec.MsgspecError) as error:
        print(f"rain worker: expected one argument, the configuration as JSON: {error}", file=sys.stderr)
        return 2
    return run(config)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
