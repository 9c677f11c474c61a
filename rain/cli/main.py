"""The `rain` command: the tree of verbs, and how errors are shown."""

from __future__ import annotations

import importlib
from typing import Any

import click

from rain.core.errors import RainException

#: Verb → (module below `rain.cli`, first line of its help); a verb's module is imported when it is used, so that
#: `rain --help` and completion stay quick.
VERBS = {
    "run": ("run", "Start a server and workers; return when all is ready."),
    "start": ("run", "The same as `rain run`."),
    "server": ("server", "Run a server in the foreground."),
    "worker": ("worker", "Run a worker in the foreground, or start one in the background."),
    "status": ("status", "Show a cluster: its address, workers and sessions."),
    "workers": ("workers", "List the workers of a cluster."),
    "sessions": ("sessions", "List the sessions of a cluster."),
    "ps": ("ps", "List a cluster's processes, executors too, and what they run."),
    "logs": ("logs", "Show the logs of a cluster on this machine."),
    "why": ("why", "Explain why a task is not done, or how it ended."),
    "drain": ("drain", "Have a worker leave without loss."),
    "stop": ("stop", "End a cluster: server, workers, executors and programs."),
}


class Verbs(click.Group):
    """A group whose commands live in modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"rain.cli.{VERBS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, text) for verb, (_, text) in VERBS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        # `rain start` keeps its own name in usage lines although it is the command of `rain run`.
        return (args[0] if name == "run" and args else name), command, rest

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RainException as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rain", prog_name="rain")
def tree() -> None:
    """Rain: distributed computations from a notebook or a script."""


def main() -> None:
    """Entry point of the `rain` command."""
    tree(prog_name="rain")


if __name__ == "__main__":
    main()
