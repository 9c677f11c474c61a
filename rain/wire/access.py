"""Access files: where a server is and the keys to it, one file per role, readable by this user only.

A server writes them when it starts and removes them when it ends; programs of this user on this machine find them by
port (see `find_access`). A worker's file holds no client keys, so a worker's host never gets them.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec

from rain.core.errors import RainException
from rain.wire.keys import KEY_LENGTH, KeyPair
from rain.wire.process_time import process_start_time
from rain.wire.runtime_directory import private_directory, runtime_directories, runtime_directory

Role = Literal["client", "worker", "monitor"]
ROLES: tuple[Role, ...] = get_args(Role)

#: A file of more bytes is not an access file.
_MAX_BYTES = 64 * 1024
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
KEY_PATTERN = rf"^[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{{}}@%$#]{{{KEY_LENGTH}}}$"
Key = Annotated[str, msgspec.Meta(pattern=KEY_PATTERN)]


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What one role needs to reach a server and be let in."""

    #: The protocol version of the server.
    protocol: int
    #: The server's own id, new at each start: uuid, 32 hexadecimal digits.
    cluster: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    role: Role
    #: The address on which the server listens, or by which it is reached from elsewhere.
    host: Annotated[str, msgspec.Meta(min_length=1)]
    port: Port
    #: "host:port" of the dashboard, None if there is none.
    http_address: str | None = None
    server_key: Key
    #: The role's own key pair, Z85 text.
    public_key: Key
    secret_key: Key
    #: For the dashboard; workers have none.
    token: str | None = None
    #: The server's process and when it started (see `process_start_time`), so that a pid used again is noticed.
    pid: int
    start_time: float
    #: Started by a command ("run"), or embedded in a program and ending with it ("local").
    kind: Literal["run", "local"] = "run"

    @property
    def keypair(self) -> KeyPair:
        """The role's key pair, as sockets want it."""
        return KeyPair(self.public_key.encode(), self.secret_key.encode())

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"Access({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        hidden = {"secret_key", "token"}
        return [(name, "<hidden>" if name in hidden else getattr(self, name)) for name in self.__struct_fields__]


def access_path(directory: Path, port: int, role: Role) -> Path:
    """Where a server on this port keeps the access file of a role."""
    return directory / f"{port}.{role}.json"


def write_access(access: Access, directory: Path) -> Path:
    """Writes the access file of one role, 0600 whatever the umask, in place of an older one; its path.

    It appears complete or not at all, and never follows a link that somebody put in its place. Raises RainException.
    """
    path = access_path(private_directory(directory), access.port, access.role)
    new = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600)
                file.write(msgspec.json.format(msgspec.json.encode(access)))
            new.rename(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise RainException(f"Cannot write the access file {path}: {error.strerror}. Is the disk full?") from None
    return path


def read_access(path: Path) -> Access:
    """The access in a file that belongs to this user alone. Raises RainException, which says what is wrong with it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | _FLAGS)
    except FileNotFoundError:
        raise RainException(f"There is no access file {path}.") from None
    except OSError as error:
        # O_NOFOLLOW tells so; the path itself may lie where we cannot look.
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise RainException(f"Cannot read the access file {path}: {reason}. Give the file itself.") from None
    with os.fdopen(descriptor, "rb") as file:
        _check_private_file(path, os.fstat(descriptor))
        content = file.read(_MAX_BYTES + 1)
    try:
        if len(content) > _MAX_BYTES:
            raise msgspec.ValidationError(f"it has more than {_MAX_BYTES} bytes")
        return msgspec.json.decode(content, type=Access)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RainException(
            f"{path} is not an access file of this version of Rain: {error}. Copy it again from the server's machine."
        ) from None


def remove_access(directory: Path, port: int, cluster: str) -> None:
    """Removes the files of one server for all roles; those of another server on the same port stay."""
    for role in ROLES:
        path = access_path(directory, port, role)
        access = _read_or_none(path)
        if access is not None and access.cluster == cluster:
            path.unlink(missing_ok=True)


def is_live(access: Access) -> bool:
    """Whether the server that wrote this still runs on this machine."""
    return process_start_time(access.pid) == access.start_time


def list_access(role: Role, directory: Path | None = None) -> list[Access]:
    """The access of one role to each running server of this user on this machine, by port.

    Without a directory every runtime directory of this user is looked at.
    """
    found = {}
    for place in runtime_directories() if directory is None else [directory]:
        for path in place.glob(f"*.{role}.json"):
            access = _read_or_none(path)
            if access is not None and access.role == role and is_live(access):
                found[access.cluster] = access
    return sorted(found.values(), key=lambda access: access.port)


def sweep_stale(directory: Path) -> None:
    """Removes what servers that no longer run have left."""
    for path in directory.glob("*.json"):
        access = _read_or_none(path)
        if access is not None and not is_live(access):
            path.unlink(missing_ok=True)
    for path in directory.glob(".*.json.*.*"):
        writer = path.name.split(".")[-2]
        if writer.isdigit() and process_start_time(int(writer)) is None:
            path.unlink(missing_ok=True)


def _read_or_none(path: Path) -> Access | None:
    try:
        return read_access(path)
    except RainException:
        return None


def _check_private_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise RainException(f"{path} is not a regular file, so it is no access file.")
    if status.st_uid != os.getuid():
        raise RainException(
            f"The access file {path} belongs to user {status.st_uid}, not to you ({os.getuid()}). "
            "Keys of somebody else are not used; make your own copy of the file."
        )
    if status.st_mode & 0o077:
        raise RainException(
            f"The access file {path} can be read or changed by others (mode {stat.S_IMODE(status.st_mode):04o}, "
            f"expected 0600). If nobody did: chmod 600 {path}"
        )


__all__ = [
    "ROLES",
    "Access",
    "Role",
    "access_path",
    "is_live",
    "list_access",
    "read_access",
    "remove_access",
    "runtime_directories",
    "runtime_directory",
    "sweep_stale",
    "write_access",
]
