"""`rain run`: start a cluster and return when all is ready."""

from __future__ import annotations

import shlex
import socket
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from rain.cli.connect import Shown, find_running, look
from rain.cli.params import LISTEN, LOCAL_WORKERS, Address
from rain.cli.server import server_config
from rain.cli.worker import apply_file
from rain.core.config import DEFAULT_PORT, ServerConfig, Started, WorkerConfig
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
@click.option("--cpus", type=click.IntRange(min=1), help="Of each worker here; default: all, shared evenly.")
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
@click.option(
    "--end-when-idle",
    type=click.FloatRange(min=0, min_open=True),
    help="End the cluster after so many seconds without a client and without a session.",
)
@click.option("--runprefix", default="", help="Words before each program, such as a profiler.")
@click.option("--remote-init", default="", help="Shell lines that are run first on each remote host.")
def command(**options: Any) -> None:
    """Start a server and workers; return when all is ready, or fail with the program's own error."""
    wanted = Wanted.of(options)
    running = find_running(wanted.server.port)
    if running is not None:
        found = cluster_here(running)
        click.echo(found.text("is running already"))
        wanted.check(found)
        return
    started = start(wanted, options)
    server, plan = wanted.server, started.plan
    port, http_port = started.started.port, started.started.http_port
    cpus = wanted.cpus
    click.echo(f"Rain is ready: server {server.host}:{port}, workers: {wanted.n_workers}, cpus here: {sum(cpus)}")
    click.echo(f"  connect:  Client({_client_words(server.host, port)})")
    if not plan.local_workers and not plan.remote_hosts:
        click.echo(f"  workers:  there are none yet, add some:  rain worker {server.host}:{port}")
    click.echo(f"  status:   http://{server.http_host}:{http_port}/api/status")
    click.echo(f"  logs:     {plan.logs}")
    click.echo(f"  end it:   rain stop {server.host}:{port}")


class ClusterHere(NamedTuple):
    """A cluster that runs, and the cpus of its workers, the most first."""

    shown: Shown
    cpus: list[float]

    def text(self, what: str) -> str:
        """One line about it."""
        return f"Rain {what}: server {self.shown.address}, workers: {len(self.cpus)}, cpus: {sum(self.cpus):g}"


class Wanted(NamedTuple):
    """What the options of `rain run` ask for."""

    server: ServerConfig
    #: Of each local worker.
    cpus: list[int]
    remote_hosts: list[str]
    #: Each of those cpus was asked for, not only so many in all.
    one_by_one: bool

    @classmethod
    def of(cls, options: dict[str, Any]) -> Wanted:
        """Raises click.UsageError where they contradict one another, RainException where hosts are not known."""
        if options["simple"] and options["local_workers"] is not None:
            raise click.UsageError("--simple is one worker with all cpus: give either that or --local-workers")
        hosts = _remote_hosts(options["worker_host_file"], options["autoconf"])
        cpus = cpus_of_workers(options["simple"] or not hosts, options["local_workers"], options["spare_cpu"])
        if options["cpus"] is not None:
            if isinstance(options["local_workers"], tuple):
                raise click.UsageError("--local-workers says the cpus of each worker, so --cpus has no meaning")
            cpus = [options["cpus"]] * len(cpus)
        server = server_config(
            _listen(options["listen"], bool(hosts)), options["http_listen"], workdir=options["state_dir"]
        )
        server = msgspec.structs.replace(server, idle_end_s=options["end_when_idle"])
        return cls(server, cpus, hosts, options["cpus"] is not None or isinstance(options["local_workers"], tuple))

    @property
    def n_workers(self) -> int:
        """On all hosts."""
        return len(self.cpus) + len(self.remote_hosts)

    def check(self, found: ClusterHere) -> None:
        """Raises RainException unless a cluster has what is asked for."""
        # How many cpus other hosts have is not known here.
        has_all = len(found.cpus) >= self.n_workers and sum(found.cpus) >= sum(self.cpus)
        if self.one_by_one:
            asked = sorted(self.cpus, reverse=True)
            has_all = has_all and all(has >= each for has, each in zip(found.cpus, asked, strict=False))
        if not has_all:
            each = f", cpus of each: {', '.join(map(str, self.cpus))}" if self.one_by_one else ""
            here = each or f", cpus here: {sum(self.cpus)}"
            raise RainException(
                f"that is less than was asked for (workers: {self.n_workers}{here}): end it first "
                f"(`rain stop {found.shown.address}`), or add workers (`rain worker {found.shown.address}`)"
            )


class StartedCluster(NamedTuple):
    """What was started, and where it answers."""

    plan: Plan
    started: Started


def start(wanted: Wanted, options: dict[str, Any]) -> StartedCluster:
    """Starts what is wanted; returns when it is ready. Raises RainException with the program's own error."""
    worker = WorkerConfig(workdir=options["workdir"])
    if options["worker_config"]:
        worker = apply_file(worker, Path(options["worker_config"]))
    plan = Plan(
        server=wanted.server,
        local_workers=tuple(msgspec.structs.replace(worker, cpus=number) for number in wanted.cpus),
        remote_hosts=tuple(wanted.remote_hosts),
        remote_options=_remote_options(options),
        remote_init=options["remote_init"],
        prefix=_prefix(options["runprefix"]),
        logs=Path(options["logdir"]).absolute() if options["logdir"] else log_folder(),
    )
    return StartedCluster(plan, start_cluster(plan))


def cluster_here(running: Shown) -> ClusterHere:
    """A cluster that runs. Raises RainException where it does not answer."""
    found: list[float] = [worker["resources"]["cpus"] for worker in look(running)["workers"]]
    return ClusterHere(running, sorted(found, reverse=True))


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


def _remote_options(options: dict[str, Any]) -> tuple[str, ...]:
    words: list[str] = []
    for name in ("workdir", "logdir"):
        if options[name]:
            words += [f"--{name}", options[name]]
    return tuple(words)


def _client_words(host: str, port: int) -> str:
    where = "localhost" if host == "127.0.0.1" else host
    return f'"{where}"' if port == DEFAULT_PORT else f'"{where}", {port}'
