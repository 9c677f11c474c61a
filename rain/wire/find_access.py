"""How keys are found instead of typed."""

from __future__ import annotations

import ipaddress
import os
import socket as sockets
from collections.abc import Mapping
from pathlib import Path

from rain.core.errors import RainException
from rain.wire.access import Access, Role, access_path, is_live, read_access
from rain.wire.runtime_directory import runtime_directories


class AccessNotFound(RainException):
    """No keys for a server; the text lists where they were looked for and which file to copy from where."""


def find_access(
    host: str,
    port: int,
    role: Role,
    explicit: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> tuple[Access, Path]:
    """The keys of `role` for the server at `host` and `port`, and the file they are in.

    In this order: the file that was given, whatever server it is for; the file of a running server of this user on this
    machine with that port, if `host` is this machine; `~/.config/rain/access/HOST-PORT.<role>.json`.
    Raises AccessNotFound, or RainException for a file that is there and cannot be used.
    """
    environ = os.environ if environ is None else environ
    if explicit is not None:
        return _checked(explicit.expanduser(), role), explicit
    looked: list[str] = []
    own = is_own_host(host)
    if own:
        for directory in runtime_directories(environ):
            path = access_path(directory, port, role)
            if not path.exists():
                looked.append(f"{path}: not there")
            elif not is_live(access := _checked(path, role)):
                looked.append(f"{path}: of a server that no longer runs (pid {access.pid})")
            else:
                return access, path
    copied = config_directory(environ) / f"{host}-{port}.{role}.json"
    if copied.exists():
        return _checked(copied, role), copied
    looked.append(f"{copied}: not there")
    raise AccessNotFound(_advice(host, port, role, looked, copied, own=own))


def config_directory(environ: Mapping[str, str]) -> Path:
    """Where the user puts access files of servers on other machines."""
    base = environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base else Path.home() / ".config") / "rain" / "access"


def is_own_host(host: str) -> bool:
    """Whether a name or an address means this machine."""
    if host.lower() in ("localhost", sockets.gethostname().lower()):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified:
        return True
    family = sockets.AF_INET if address.version == 4 else sockets.AF_INET6
    # Only an address of this machine can be bound.
    with sockets.socket(family, sockets.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def _checked(path: Path, role: Role) -> Access:
    access = read_access(path)
    if access.role != role:
        raise RainException(
            f"{path} is the access file of a {access.role}, and a {role} was expected. "
            f"Give the file that ends in .{role}.json instead."
        )
    return access


def _advice(host: str, port: int, role: Role, looked: list[str], copied: Path, *, own: bool) -> str:
    places = "\n".join(f"  {line}" for line in looked)
    start = f"If no server runs there, start one: rain server --listen {port}\n" if own else ""
    return (
        f"No keys for the server at {host}:{port}. Looked at:\n{places}\n{start}"
        f"If the server is another machine's or another user's: copy $XDG_RUNTIME_DIR/rain/{port}.{role}.json (or "
        f"/tmp/rain-<uid>/{port}.{role}.json) from there to {copied}, with mode 0600; or name the file "
        "(access=, --access or RAIN_ACCESS)."
    )
