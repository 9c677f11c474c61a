"""The tree of commands of the magics: those of the shell that make sense in a notebook, and those that need one."""

from __future__ import annotations

from typing import Any

import click

from rain.cli.main import VERBS, Verbs

_OWN = "rain.kernel_ext.commands."


def _shared(verb: str) -> tuple[str, str]:
    module, text = VERBS[verb]
    return f"rain.cli.{module}", text


#: Command → (module, first line of its help), as `rain.cli.main.VERBS`.
LINE_VERBS = {
    "start": (f"{_OWN}start", "Start a cluster on this machine, or find the running one again, and connect."),
    "connect": (f"{_OWN}connect", "Connect to a cluster that runs."),
    "session": (f"{_OWN}session", "Make a session, or go on with the one of that name; it becomes the default."),
    "submit": (f"{_OWN}submit", "Send what was built since the last submit, and show the session."),
    "graph": (f"{_OWN}graph", "Show the task graph of the session."),
    "wait": (f"{_OWN}wait", "Wait for tasks, or for all of the session."),
    "cancel": (f"{_OWN}cancel", "Stop tasks and all that depends on them."),
    "why": (f"{_OWN}why", VERBS["why"][1]),
    "tb": (f"{_OWN}tb", "Show why a task failed, with the lines of its source."),
    "logs": (f"{_OWN}logs", "Show what a task printed, or the logs of the cluster."),
    "status": _shared("status"),
    "workers": _shared("workers"),
    "sessions": _shared("sessions"),
    "ps": _shared("ps"),
    "drain": _shared("drain"),
    "stop": _shared("stop"),
}
CELL_VERBS = {
    "task": (f"{_OWN}task", "The rest of the cell becomes one Python task."),
    "sh": (f"{_OWN}sh", "The rest of the cell becomes one task that a shell runs."),
}
#: Their values are shown as the text that they print.
LISTING = frozenset({"why", "status", "workers", "sessions", "ps"})


class MagicVerbs(Verbs):
    """The commands of one magic; errors stay what they are."""

    def invoke(self, ctx: click.Context) -> Any:
        return click.Group.invoke(self, ctx)

    def unknown(self, verb: str) -> str:
        for verbs, how in ((LINE_VERBS, f"%rain {verb}"), (CELL_VERBS, f"%%rain {verb} … at the top of a cell")):
            if verb in verbs:
                return f"'{verb}' is written {how}."
        if verb in VERBS:
            return f"'{verb}' is a command of the shell: rain {verb}."
        return super().unknown(verb)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_commands(ctx, formatter)
        if self.verbs is LINE_VERBS:
            with formatter.section("At the top of a cell"):
                formatter.write_dl([(f"%%rain {verb}", text) for verb, (_, text) in CELL_VERBS.items()])


def _tree(verbs: dict[str, tuple[str, str]], text: str) -> MagicVerbs:
    settings = {"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "RAIN", "max_content_width": 100}
    return MagicVerbs("rain", verbs=verbs, help=text, context_settings=settings)


LINE_TREE = _tree(LINE_VERBS, "Rain in a notebook: `%rain COMMAND --help` says more of each.")
CELL_TREE = _tree(CELL_VERBS, "The rest of the cell becomes a task of the active session.")
