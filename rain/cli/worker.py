"""`rain worker`: a worker in the foreground, or one in the background that outlives the command."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import click
import msgspec

from rain.cli.params import CPUS, LISTEN, MEMORY, RESOURCE, SERVER, Address
from rain.core.config import DEFAULT_PORT, WorkerConfig


@click.command("worker")
@click.argument("server", type=SERVER)
@click.option("--cpus", type=CPUS, help="How many to offer; -N: all but N; `detect` (the default): all it may use.")
@click.option("--gpus", type=click.IntRange(min=0), default=0, help="How many to offer.")
@click.option("--memory", type=MEMORY, help="How much to offer, for example `4 GiB`.")
@click.option("--resource", "resources", type=RESOURCE, multiple=True, help="A named resource to offer; repeatable.")
@click.option(
    "--listen", type=LISTEN, help="Where others fetch data from it; default: where it reaches the server from."
)
@click.option("--workdir", type=click.Path(), help="Folder for data and for the folders of tasks.")
@click.option(
    "--share-store/--no-share-store",
    default=True,
    help="Whether workers of this machine link each other's files instead of sending bytes (the default).",
)
@click.option("--logdir", type=click.Path(), help="Folder for the log; without it, standard error.")
@click.option("--ready-file", type=click.Path(), help="Gets the line `ready` when the first tasks could start at once.")
@click.option("--access", help="Access file of the worker role; `-` reads it from standard input.")
@click.option("--config", "config_file", type=click.Path(exists=True), help="TOML file with the options above.")
@click.option("--background", is_flag=True, help="Return when the worker is ready; it goes on.")
def command(
    *,
    server: Address,
    cpus: int | None,
    gpus: int,
    memory: int | None,
    resources: tuple[tuple[str, int], ...],
    listen: Address | None,
    workdir: str | None,
    share_store: bool,
    logdir: str | None,
    ready_file: str | None,
    access: str | None,
    config_file: str | None,
    background: bool,
) -> None:
    """Run a worker of SERVER until it is stopped (Ctrl-C, or `rain stop`)."""
    config = WorkerConfig(
        server_host=server.host or "127.0.0.1",
        server_port=DEFAULT_PORT if server.port is None else server.port,
        access=access,
        cpus=offered_cpus(cpus),
        gpus=gpus,
        memory_bytes=memory,
        resources=tuple(sorted(resources)),
        host=listen.host if listen else None,
        port=(listen.port or 0) if listen else 0,
        workdir=workdir,
        share_store=share_store,
        logdir=logdir,
        ready_file=ready_file,
    )
    if config_file:
        config = apply_file(config, Path(config_file))
    with readable_access(config) as complete:
        if background:
            _start_in_background(complete)
        else:
            from rain.worker.__main__ import run

            sys.exit(run(complete))


def offered_cpus(cpus: int | None) -> int | None:
    """The number of cpus to offer; -N means all but N. Raises click.BadParameter where none would be left."""
    if cpus is not None and cpus < 0:
        from rain.deploy.capacity import detect_cpus

        available = detect_cpus()
        if available + cpus < 1:
            there = "1 cpu" if available == 1 else f"{available} cpus"
            raise click.BadParameter(
                f"{cpus}: a worker here may use {there}, all but {-cpus} is none: leave fewer free, or say how many to "
                "offer",
                param_hint="--cpus",
            )
        return available + cpus
    return cpus


def apply_file(config: WorkerConfig, path: Path) -> WorkerConfig:
    """The configuration with what a TOML file says, where the command line said nothing. Raises click.BadParameter."""
    try:
        said = msgspec.toml.decode(path.read_bytes(), type=WorkerFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
        raise click.BadParameter(f"{path}: {error}", param_hint="--config") from error
    default = WorkerConfig()
    values = msgspec.structs.asdict(said)
    memory = values.pop("memory")
    if memory is not None and values["memory_bytes"] is None:
        values["memory_bytes"] = MEMORY.convert(memory, None, None)
    if said.resources is not None:
        values["resources"] = tuple(sorted(said.resources.items()))
    changes = {
        name: value
        for name, value in values.items()
        if value is not None and getattr(config, name) == getattr(default, name)
    }
    return msgspec.structs.replace(config, **changes)


class WorkerFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a worker's TOML file may say; the meaning is that of the options of the same name."""

    cpus: int | None = None
    gpus: int | None = None
    memory: int | str | None = None
    memory_bytes: int | None = None
    resources: dict[str, Annotated[int, msgspec.Meta(ge=0)]] | None = None
    host: str | None = None
    port: int | None = None
    workdir: str | None = None
    share_store: bool | None = None
    logdir: str | None = None


@contextlib.contextmanager
def readable_access(config: WorkerConfig) -> Iterator[WorkerConfig]:
    """The configuration with an access file that exists: `-` is read from standard input into a private file.

    The worker reads it when it starts, so it can be removed as soon as it is ready.
    """
    if config.access != "-":
        yield config
        return
    data = sys.stdin.buffer.read(1 << 20)
    handle, name = tempfile.mkstemp(prefix="rain-access-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        yield msgspec.structs.replace(config, access=name)
    finally:
        Path(name).unlink(missing_ok=True)


def _start_in_background(config: WorkerConfig) -> None:
    from rain.deploy.detached import start_background
    from rain.deploy.folders import log_folder

    logs = Path(config.logdir) if config.logdir else log_folder()
    program = start_background(msgspec.structs.replace(config, logdir=None), logs)
    program.wait_ready()
    click.echo(f"worker {program.pid} is ready")
    program.let_go()
