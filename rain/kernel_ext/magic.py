"""`%rain` and `%%rain`: a line of words becomes a command; its value is the magic's value."""

from __future__ import annotations

import contextlib
import io
import shlex
from typing import Any

import click
from IPython.core.error import UsageError

from rain.core.errors import RainException
from rain.kernel_ext.cell import Cell
from rain.kernel_ext.notebook import Notebook
from rain.kernel_ext.tree import CELL_TREE, LINE_TREE, LISTING, MagicVerbs


class ListedRows(list[Any]):
    """A list that shows itself as the table that the command prints in a shell."""

    text = ""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self.text)


class ListedFacts(dict[str, Any]):
    """A dict that does likewise."""

    text = ""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self.text)


class RainMagics:
    """The magics of one shell."""

    def __init__(self, shell: Any, notebook: Notebook) -> None:
        self._shell = shell
        self.notebook = notebook

    def register(self) -> None:
        """Has the shell know them."""
        self._shell.register_magic_function(self.rain, magic_kind="line_cell", magic_name="rain")

    def unregister(self) -> None:
        """Takes them away, unless another extension has taken the name over."""
        manager = self._shell.magics_manager
        for kind in ("line", "cell"):
            if manager.magics[kind].get("rain") == self.rain:
                del manager.magics[kind]["rain"]
        if getattr(manager.user_magics, "rain", None) == self.rain:
            del manager.user_magics.rain

    def rain(self, line: str, cell: str | None = None) -> Any:
        tree, program = (LINE_TREE, "%rain") if cell is None else (CELL_TREE, "%%rain")
        self.notebook.cell = None if cell is None else Cell(line, cell, self._shell)
        try:
            return run(tree, program, _words(line), self.notebook)
        finally:
            self.notebook.cell = None


def run(tree: MagicVerbs, program: str, words: list[str], notebook: Notebook) -> Any:
    """The value of a command. Raises UsageError for words that make no sense; other errors show as their text alone."""
    printed = io.StringIO() if words and words[0] in LISTING else None
    try:
        with contextlib.redirect_stdout(printed) if printed else contextlib.nullcontext():
            value = _invoke(tree, program, words or ["--help"], notebook)
    except click.ClickException as error:
        raise UsageError(_text_of(error, program)) from None
    except (RainException, TimeoutError) as error:
        # IPython asks exceptions how they want to be shown: nobody wants to see the inside of Rain.
        raise _shown_alone(error) from error.__cause__
    text = "" if printed is None else printed.getvalue().rstrip()
    listed = _listed(value, text)
    if listed is None and text:
        click.echo(text)
    return value if listed is None else listed


def help_text(tree: MagicVerbs, program: str) -> str:
    """What `--help` prints."""
    with tree.make_context(program, [], resilient_parsing=True) as context:
        return tree.get_help(context)


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"%rain {line}: a quote is not closed ({error})") from None


def _invoke(tree: MagicVerbs, program: str, words: list[str], notebook: Notebook) -> Any:
    try:
        with tree.make_context(program, list(words), obj=notebook) as context:
            return tree.invoke(context)
    except click.exceptions.Exit:
        return None


def _shown_alone(error: RainException | TimeoutError) -> Exception:
    """The error, which shows itself without the line of the magic, and without the inside of Rain."""
    # IPython asks exceptions how they want to be shown.
    shown: Any = error.with_traceback(None)
    is_ours = isinstance(error, RainException)
    lines: list[str] = shown._render_traceback_() if is_ours else [f"{type(error).__name__}: {error}"]
    shown._render_traceback_ = lambda: lines
    return error


def _text_of(error: click.ClickException, program: str) -> str:
    text = error.format_message()
    context = getattr(error, "ctx", None)
    path = program if context is None else context.command_path
    if not isinstance(error, click.UsageError):
        return text
    return f"{text}{'' if text.endswith(('.', '?')) else '.'} `{path} --help` says more."


def _listed(value: Any, text: str) -> ListedRows | ListedFacts | None:
    listed: ListedRows | ListedFacts
    if isinstance(value, list):
        listed = ListedRows(value)
    elif isinstance(value, dict):
        listed = ListedFacts(value)
    else:
        return None
    listed.text = text
    return listed


RainMagics.rain.__doc__ = "\n\n".join([help_text(LINE_TREE, "%rain"), help_text(CELL_TREE, "%%rain")])
