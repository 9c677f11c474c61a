"""An IPython in this process, with what its cells show as plain text."""

from __future__ import annotations

import atexit
import gc
import io
import re
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, NamedTuple

from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell


class ShownByCell(NamedTuple):
    """What a cell printed (values that show themselves included), and its error."""

    printed: str
    error: str

    @property
    def text(self) -> str:
        """Both."""
        return self.printed + self.error


class NotebookShell:
    """A shell of its own; `end()` leaves nothing of it behind."""

    def __init__(self) -> None:
        InteractiveShell.clear_instance()
        self._shell = InteractiveShell.instance(colors="nocolor", history_load_length=0)
        self._shell.history_manager.enabled = False
        self._errors: list[str] = []
        self._shell._showtraceback = lambda kind, error, lines: self._errors.append("\n".join(lines))
        self._shell.show_usage_error = lambda error: self._errors.append(f"UsageError: {error}")

    @property
    def extension(self) -> Any:
        """What is loaded."""
        return self._shell._rain_extension

    @property
    def variables(self) -> dict[str, Any]:
        """The user's namespace."""
        found: dict[str, Any] = self._shell.user_ns
        return found

    def run(self, cell: str) -> ShownByCell:
        """Runs a cell; nothing of it stays in the history of outputs."""
        self._errors.clear()
        printed = io.StringIO()
        with redirect_stdout(printed), redirect_stderr(printed):
            self._shell.run_cell(cell, store_history=False)
        return ShownByCell(_without_number(printed.getvalue().strip()), "\n".join(self._errors))

    def value(self, cell: str) -> Any:
        """The value of a cell, which must succeed."""
        self._errors.clear()
        with redirect_stdout(io.StringIO()):
            result = self._shell.run_cell(cell, store_history=False)
        assert result.success, self._errors
        return result.result

    def completed(self, text: str) -> list[str]:
        """What Tab offers at the end of the text."""
        with provisionalcompleter():
            return [each.text for each in self._shell.Completer.completions(text, len(text))]

    def end(self) -> None:
        """Unloads the extension and forgets the shell."""
        self.run("%unload_ext rain")
        self._shell.reset(new_session=False)
        atexit.unregister(self._shell.atexit_operations)
        InteractiveShell.clear_instance()
        gc.collect()


def _without_number(text: str) -> str:
    """Without the `Out[3]: ` before a value."""
    return re.sub(r"^Out\[\d+\]:\s*", "", text, flags=re.MULTILINE)
