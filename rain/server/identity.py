"""Who a server is: its keys and those it hands out by role, its dashboard token, and the access files that say so."""

from __future__ import annotations

import os
import secrets
import uuid
from pathlib import Path

import msgspec

from rain.core.errors import RainException
from rain.protocol.hello import PROTOCOL_VERSION
from rain.wire.access import (
    ROLES,
    Access,
    Role,
    remove_access,
    sweep_stale,
    write_access,
)
from rain.wire.gate import Gate
from rain.wire.keys import KeyPair, new_keypair
from rain.wire.process_time import process_start_time


class Identity(msgspec.Struct, frozen=True):
    """Made anew at every start; the secrets are shown nowhere but in the access files."""

    cluster: str
    server: KeyPair
    roles: dict[Role, KeyPair]
    token: str

    def __repr__(self) -> str:
        return f"Identity(cluster={self.cluster!r})"

    @classmethod
    def new(cls) -> Identity:
        """Fresh keys and token."""
        return cls(
            cluster=uuid.uuid4().hex,
            server=new_keypair(),
            roles={role: new_keypair() for role in ROLES},
            token=secrets.token_urlsafe(32),
        )

    def allow(self, gate: Gate) -> None:
        """List the role keys."""
        for role, keypair in self.roles.items():
            gate.allow(keypair.public, role)

    def data_readers(self) -> tuple[str, ...]:
        """Public keys that may fetch from a worker's data endpoint."""
        readers = (self.roles["client"], self.roles["worker"], self.server)
        return tuple(keypair.public.decode() for keypair in readers)

    def write_files(self, directory: Path, *, host: str, port: int, http_address: str, kind: str) -> dict[Role, Path]:
        """Write the access file of every role; what servers left that run no more is removed first.

        Raises RainException.
        """
        sweep_stale(directory)
        start_time = process_start_time(os.getpid())
        if start_time is None:
            raise RainException("the start time of this process cannot be read: is /proc mounted?")
        paths = {}
        for role, keypair in self.roles.items():
            access = Access(
                protocol=PROTOCOL_VERSION,
                cluster=self.cluster,
                role=role,
                host=host,
                port=port,
                http_address=http_address,
                server_key=self.server.public.decode(),
                public_key=keypair.public.decode(),
                secret_key=keypair.secret.decode(),
                token=None if role == "worker" else self.token,
                pid=os.getpid(),
                start_time=start_time,
                kind="local" if kind == "local" else "run",
            )
            paths[role] = write_access(access, directory)
        return paths

    def remove_files(self, directory: Path, port: int) -> None:
        """Remove this server's access files."""
        remove_access(directory, port, self.cluster)
