"""`rain run`: start a cluster and return when all is ready."""

from __future__ import annotations

import shlex
import socket
from pathlib import Path
from typing import Any

import click

from rain.cli.connect import Shown, find_running, look
from rain.cli.params import LISTEN, LOCAL_WORKERS, Address
from rain.cli.server import server_config
from rain.cli.worker import apply_file
from rain.core.config import DEFAULT_PORT, WorkerConfig
from rain.core.errors import RainException
from rain.deploy.capacity import detect_cpus
from rain.deploy.detached import Plan, start_cluster
from rain.deploy.folders import log_folder
from rain.deploy.hosts import allocated_hosts, read_host_file


@click.command("run")
@click.option("--simple", is_flag=True, help="One local worker with all cpus (the default where nothing is asked for).")
@click.option(
    "--local-workers",
    "--local-worker",
    "--local_workers",
    "--local_worker",
    "--workers",
    "local_workers",
    type=LOCAL_WORKERS,
    help="Workers on this machine that share its cpus evenly, or the cpus of each, as in [4,4,2].",
)
@click.option(
    "--worker-host-file", type=click.Path(), help="File with one host per line; a worker is started on each by ssh."
)
@click.option(
    "--autoconf", type=click.Choice(["pbs", "slurm"]), help="A worker on each host of the batch job this runs in."
)
@click.option("-S", "spare_cpu", is_flag=True, help="Leave one cpu of this machine to the server.")
@click.option("--listen", type=LISTEN, help=f"Where clients and workers connect (127.0.0.1:{DEFAULT_PORT}).")
@click.option("--http-listen", type=LISTEN, help="Where status is served over HTTP (127.0.0.1:7222).")
@click.option("--logdir", type=click.Path(), help="Folder for logs; default: the user's state folder.")
@click.option("--workdir", type=click.Path(), help="Folder for data and for the folders of tasks.")
@click.option("--state-dir", type=click.Path(), help="Folder for what clients upload.")
@click.option("--worker-config", type=click.Path(exists=True), help="TOML file with options of the workers.")
@click.option("--runprefix", default="", help="Words before each program, such as a profiler.")
@click.option("--remote-init", default="", help="Shell lines that are run first on each remote host.")
def command(**options: Any) -> None:
    """Start a server and workers; return when all is ready, or fail with the program's own error."""
    hosts = _remote_hosts(options["worker_host_file"], options["autoconf"])
    cpus = cpus_of_workers(options["simple"] or not hosts, options["local_workers"], options["spare_cpu"])
    server = server_config(
        _listen(options["listen"], bool(hosts)), options["http_listen"], workdir=options["state_dir"]
    )
    running = find_running(server.port)
    if running is not None:
        _report_running(running, len(cpus) + len(hosts), sum(cpus) if not hosts else None)
        return
    worker = WorkerConfig(workdir=options["workdir"])
    if options["worker_config"]:
        worker = apply_file(worker, Path(options["worker_config"]))
    plan = Plan(
        server=server,
        local_workers=tuple(_with_cpus(worker, number) for number in cpus),
        remote_hosts=tuple(hosts),
        remote_options=_remote_options(options),
        remote_init=options["remote_init"],
        prefix=_prefix(options["runprefix"]),
        logs=Path(options["logdir"]).absolute() if options["logdir"] else log_folder(),
    )
    started = start_cluster(plan)
    click.echo(
        f"Rain is ready: server {server.host}:{started.port}, workers: {len(cpus) + len(hosts)}, cpus here: {sum(cpus)}"
    )
    click.echo(f"  connect:  Client({_client_words(server.host, started.port)})")
    if not plan.local_workers and not plan.remote_hosts:
        click.echo(f"  workers:  there are none yet, add some:  rain worker {server.host}:{started.port}")
    click.echo(f"  status:   http://{server.http_host}:{started.http_port}/api/status")
    click.echo(f"  logs:     {plan.logs}")
    click.echo(f"  end it:   rain stop {server.host}:{started.port}")


def cpus_of_workers(wanted: bool, local_workers: int | tuple[int, ...] | None, spare_cpu: bool) -> list[int]:
    """The cpus of each local worker."""
    if isinstance(local_workers, tuple):
        return list(local_workers)
    available = max(1, detect_cpus() - (1 if spare_cpu else 0))
    if local_workers is None:
        return [available] if wanted else []
    share, rest = divmod(available, local_workers) if local_workers else (0, 0)
    return [max(1, share + (1 if i < rest else 0)) for i in range(local_workers)]


def _remote_hosts(host_file: str | None, autoconf: str | None) -> list[str]:
    if host_file and autoconf:
        raise click.UsageError("--worker-host-file and --autoconf both say where workers run: give one of them")
    if host_file:
        return read_host_file(Path(host_file))
    return allocated_hosts(autoconf) if autoconf else []


def _listen(listen: Address | None, remote: bool) -> Address | None:
    """Remote workers must reach the server, so it listens on this machine's own address unless told otherwise."""
    if not remote or (listen and listen.host):
        return listen
    host = own_address()
    click.echo(f"remote workers are asked for: the server listens on {host}, reachable from the network with a key")
    return Address(host, listen.port if listen else None)


def own_address() -> str:
    """The address under which other hosts reach this one. Raises RainException where it cannot be told."""
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise RainException(f"this machine's own address is not known ({error}): say it by --listen") from error
    addresses = [str(entry[4][0]) for entry in found]
    return next((address for address in addresses if not address.startswith("127.")), addresses[0])


def _prefix(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} cannot be split into words: {error}", param_hint="--runprefix") from None


def _with_cpus(config: WorkerConfig, cpus: int) -> WorkerConfig:
    import msgspec

    return msgspec.structs.replace(config, cpus=cpus)


def _remote_options(options: dict[str, Any]) -> tuple[str, ...]:
    words: list[str] = []
    for name in ("workdir", "logdir"):
        if options[name]:
            words += [f"--{name}", options[name]]
    return tuple(words)


def _report_running(running: Shown, workers: int, cpus: int | None) -> None:
    """Say that a cluster runs already; the status tells whether it has what was asked for."""
    shown = look(running)
    have = sum(worker["resources"]["cpus"] for worker in shown["workers"])
    click.echo(f"Rain is running already: server {running.address}, workers: {len(shown['workers'])}, cpus: {have:g}")
    enough = len(shown["workers"]) >= workers and (cpus is None or have >= cpus)
    if not enough:
        raise RainException(
            f"it has less than the {workers} workers asked for: end it first (`rain stop {running.address}`), "
            f"or add workers (`rain worker {running.address}`)"
        )


def _client_words(host: str, port: int) -> str:
    where = "localhost" if host == "127.0.0.1" else host
    return f'"{where}"' if port == DEFAULT_PORT else f'"{where}", {port}'
