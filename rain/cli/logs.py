"""`rain logs`: the logs of a cluster's programs on this machine."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple

import click
import psutil

from rain.cli.connect import choose, look
from rain.cli.params import SERVER, Address
from rain.cli.table import show_json
from rain.cli.tail import Tail
from rain.core.errors import RainException

#: How often files are looked at again.
FOLLOW_S = 0.2


class _Program(NamedTuple):
    """The server or a worker; `log` is empty where it writes no log file."""

    name: str
    host: str
    pid: int
    log: str


@click.command("logs")
@click.argument("server", type=SERVER, required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written, until Ctrl-C or the cluster's end.")
@click.option("-n", "n_lines", type=click.IntRange(min=0), default=20, help="How many lines of each log (20).")
@click.option("--path", "paths_only", is_flag=True, help="Print the names of the files only.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: of each file who writes it, and its last lines.")
def command(server: Address | None, follow: bool, n_lines: int, paths_only: bool, as_json: bool) -> None:
    """Show the end of the logs of a cluster's server and workers on this machine.

    SERVER may be left out where only one runs.
    """
    if follow and (as_json or paths_only):
        raise click.UsageError("--follow has no end, so it goes with neither --json nor --path")
    programs = _programs(look(choose(server)))
    here = socket.gethostname()
    logs = _logs_here(programs, here)
    if not logs:
        raise RainException("no program of this cluster writes a log file on this machine")
    tails = {name: Tail(Path(log), n_lines) for log, name in logs.items()}
    if as_json:
        show_json([_described(name, tail, with_lines=not paths_only) for name, tail in tails.items()])
        return
    if paths_only:
        click.echo("\n".join(logs))
        return
    shown = _show_news(tails, None)
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            _follow(tails, shown, [program.pid for program in programs if program.host == here])


def _described(name: str, tail: Tail, *, with_lines: bool) -> dict[str, Any]:
    lines = {"lines": _news(name, tail).splitlines()} if with_lines else {}
    return {"programs": name.split(", "), "path": str(tail.path), **lines}


def _follow(tails: dict[str, Tail], shown: str | None, pids: list[int]) -> None:
    """Returns when none of these processes is left, and what they wrote has been printed."""
    goes_on = True
    while goes_on:
        time.sleep(FOLLOW_S)
        goes_on = any(map(psutil.pid_exists, pids))
        shown = _show_news(tails, shown)


def _programs(info: dict[str, Any]) -> list[_Program]:
    server = _Program("server", info["host"], info["pid"], info["log"])
    return [server] + [
        _Program(worker["worker_id"], worker["host"], worker["pid"], worker["log"]) for worker in info["workers"]
    ]


def _logs_here(programs: list[_Program], here: str) -> dict[str, str]:
    """Log file → the programs that write it; of the others it is said on standard error where they log."""
    logs: dict[str, str] = {}
    for program in programs:
        if program.host != here:
            where = f"{program.log} on {program.host}" if program.log else f"on {program.host}, to standard error"
            click.echo(f"{program.name} logs elsewhere: {where}", err=True)
        elif not program.log:
            click.echo(f"{program.name} logs to standard error, not into a file", err=True)
        else:
            # Programs that were started by one line of a shell may share a file.
            logs[program.log] = f"{logs[program.log]}, {program.name}" if program.log in logs else program.name
    return logs


def _show_news(tails: dict[str, Tail], shown: str | None) -> str | None:
    """Prints what is new, each log under its name; the name of the log that was printed last."""
    for name, tail in tails.items():
        news = _news(name, tail)
        if not news and shown is not None:
            continue
        if shown != name:
            click.echo(f"{'' if shown is None else chr(10)}==> {name}: {tail.path}")
        click.echo(news, nl=False)
        shown = name
    return shown


def _news(name: str, tail: Tail) -> str:
    """What is new in a log. Raises RainException."""
    try:
        return tail.news()
    except OSError as error:
        raise RainException(f"cannot read the log of {name}, {tail.path}: {error.strerror}") from error
