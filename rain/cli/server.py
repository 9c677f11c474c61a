"""`rain server`: a server in the foreground."""

from __future__ import annotations

import sys

import click

from rain.cli.params import LISTEN, Address
from rain.core.config import DEFAULT_HTTP_PORT, DEFAULT_PORT, ServerConfig


def server_config(listen: Address | None, http_listen: Address | None, **rest: str | None) -> ServerConfig:
    """The configuration from the two addresses as typed; what was left out has its default."""
    host, port = listen or Address(None, None)
    http_host, http_port = http_listen or Address(None, None)
    return ServerConfig(
        host=host or "127.0.0.1",
        port=DEFAULT_PORT if port is None else port,
        http_host=http_host or "127.0.0.1",
        http_port=http_port,
        **rest,  # type: ignore[arg-type]
    )


@click.command("server")
@click.option("-l", "--listen", type=LISTEN, help=f"Where clients and workers connect (127.0.0.1:{DEFAULT_PORT}).")
@click.option("--http-listen", type=LISTEN, help=f"Where status is served over HTTP (127.0.0.1:{DEFAULT_HTTP_PORT}).")
@click.option("--logdir", type=click.Path(), help="Folder for the log; without it, standard error.")
@click.option("--state-dir", type=click.Path(), help="Folder for what clients upload.")
@click.option("--ready-file", type=click.Path(), help="Gets the line `ready` when clients are accepted.")
def command(
    *,
    listen: Address | None,
    http_listen: Address | None,
    logdir: str | None,
    state_dir: str | None,
    ready_file: str | None,
) -> None:
    """Run a server until it is stopped (Ctrl-C, or `rain stop`)."""
    from rain.server.__main__ import run

    config = server_config(listen, http_listen, logdir=logdir, workdir=state_dir, ready_file=ready_file)
    sys.exit(run(config))
