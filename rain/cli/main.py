"""The `rain` command: the tree of verbs, and how errors are shown."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

import click

from rain.cli.configured import configured
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
    """A group whose commands live in modules of their own; `verbs` says where, as `VERBS` does."""

    def __init__(
        self,
        *args: Any,
        verbs: Mapping[str, tuple[str, str]] = VERBS,
        package: str = "rain.cli",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.verbs = verbs
        self.package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.verbs:
            return None
        module = self.verbs[cmd_name][0]
        found = importlib.import_module(module if module.startswith("rain.") else f"{self.package}.{module}")
        command: click.Command = found.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, text) for verb, (_, text) in self.verbs.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.verbs and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(self.unknown(args[0]), ctx)
        name, command, rest = super().resolve_command(ctx, args)
        # `rain start` keeps its own name in usage lines although it is the command of `rain run`.
        shown = args[0] if name == "run" and args else name
        if command is not None and shown is not None and not ctx.resilient_parsing:
            ctx.default_map = {shown: configured(command)}
        return shown, command, rest

    def unknown(self, verb: str) -> str:
        """What is said of a command that there is not."""
        close = difflib.get_close_matches(verb, self.verbs, n=2)
        return f"No such command '{verb}'." + (f" Did you mean {' or '.join(map(repr, close))}?" if close else "")

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            if error.possibilities or error.ctx is None:
                raise
            # Nothing is near: then all there are.
            names = [param.opts[-1] for param in error.ctx.command.params if isinstance(param, click.Option)]
            options = ", ".join([*names, "--help"])
            raise click.UsageError(f"{error.message} '{error.ctx.command_path}' has {options}.", error.ctx) from error
        except RainException as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "RAIN"})
@click.version_option(package_name="rain", prog_name="rain")
def tree() -> None:
    """Rain: distributed computations from a notebook or a script."""


def main() -> None:
    """Entry point of the `rain` command."""
    tree(prog_name="rain")


if __name__ == "__main__":
    main()
