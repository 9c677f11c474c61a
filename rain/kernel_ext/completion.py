"""Tab completion of the magics: commands, options, and the names that are live, by IPython's matchers (version 2)."""

from __future__ import annotations

import re
import shlex
from typing import Any

from click.shell_completion import ShellComplete
from IPython.core.completer import SimpleCompletion, context_matcher

from rain.kernel_ext.notebook import Notebook
from rain.kernel_ext.tree import CELL_TREE, LINE_TREE

#: `%rain words` at the begin of a line, or as the value of an assignment.
_LINE = re.compile(r"\s*(?:[\w.,\s\[\]()*]+=\s*)?(%{1,2})rain\s(.*)", re.DOTALL)


class RainMatcher:
    """Completes what is typed behind `%rain` and `%%rain`."""

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook

        @context_matcher(identifier="rain.kernel_ext")  # type: ignore[untyped-decorator]
        def match(context: Any) -> Any:
            return self._match(context)

        #: IPython notes in a function what kind of matcher it is; a bound method takes no notes.
        self.match = match

    def completions(self, text: str) -> list[tuple[str, str]] | None:
        """For a line up to the cursor: what the last word may become, and what that is; None for other lines."""
        line = _LINE.fullmatch(text)
        if line is None:
            return None
        words, last = _words(line[2])
        tree = LINE_TREE if line[1] == "%" else CELL_TREE
        shell = ShellComplete(tree, {"obj": self._notebook}, "%rain", "")
        return [(item.value, item.help or "") for item in shell.get_completions(words, last)]

    def _match(self, context: Any) -> Any:
        found = self.completions(context.text_until_cursor)
        if found is None:
            return {"completions": []}
        fragment = re.search(r"\S*$", context.text_until_cursor)
        return {
            "completions": [SimpleCompletion(text=value, type="rain") for value, _ in found],
            "matched_fragment": fragment[0] if fragment else "",
            "suppress": True,
            "ordered": True,
        }


def _words(text: str) -> tuple[list[str], str]:
    """The whole words, and the begin of the last one, which may be nothing; an open quote hides nothing."""
    *whole, last = re.split(r"\s+", text) if text else [""]
    try:
        words = shlex.split(" ".join(whole))
    except ValueError:
        words = [word for word in whole if word]
    return words, last
