"""`python -m rain.server JSON`: the server as a program of its own; the argument is a `ServerConfig`."""

from __future__ import annotations

import asyncio
import sys

import msgspec

from rain.core.config import ServerConfig, StartFailed
from rain.core.errors import RainException
from rain.deploy.secrecy import allow_connections, keep_secrets
from rain.deploy.starter import Starter
from rain.server.program import serve
from rain.wire.allocation import keep_freed_memory

#: More than the data that is under way to and from others at any time.
KEPT_BYTES = 32 << 20


def run(config: ServerConfig) -> int:
    """Run a server until it is told to end; the exit code: 0, or 1 when it could not start."""
    keep_secrets()
    allow_connections()
    keep_freed_memory(KEPT_BYTES)
    starter = Starter(config.ready_fd)
    try:
        asyncio.run(serve(config, starter))
    except RainException as error:
        starter.tell(StartFailed(str(error)))
        print(f"rain server: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        starter.tell(StartFailed(f"the server failed: {type(error).__name__}: {error}"))
        raise
    return 0


def main(arguments: list[str]) -> int:
    """The exit code of the program with these arguments; 2 when they make no sense."""
    try:
        [text] = arguments
        config = msgspec.json.decode(text, type=ServerConfig)
    except (ValueError, msgspec.MsgspecError) as error:
        print(f"rain server: expected one argument, the configuration as JSON: {error}", file=sys.stderr)
        return 2
    return run(config)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
