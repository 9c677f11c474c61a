"""Loading and unloading: what is registered in an IPython shell, and taken away again."""

from __future__ import annotations

from typing import Any

from rain.kernel_ext.cell_watch import CellWatch
from rain.kernel_ext.completion import RainMatcher
from rain.kernel_ext.magic import RainMagics
from rain.kernel_ext.notebook import Notebook

#: The attribute of a shell that has what was registered there.
_LOADED = "_rain_extension"


class Extension:
    """What is registered in one shell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self.notebook = Notebook(shell.user_ns, shell)
        self._magics = RainMagics(shell, self.notebook)
        self._matcher = RainMatcher(self.notebook)
        self._watch = CellWatch(shell, self.notebook)
        self._magics.register()
        shell.Completer.custom_matchers.append(self._matcher.match)
        self._watch.register()
        shell.events.register("post_run_cell", self.notebook.views.settle)

    def unregister(self) -> None:
        """Takes everything away."""
        self._shell.events.unregister("post_run_cell", self.notebook.views.settle)
        self.notebook.views.stop()
        self._watch.unregister()
        matchers = self._shell.Completer.custom_matchers
        if self._matcher.match in matchers:
            matchers.remove(self._matcher.match)
        self._magics.unregister()


def load(shell: Any) -> None:
    """Registers everything; once, however often it is called, also under the extension's other name."""
    if getattr(shell, _LOADED, None) is None:
        setattr(shell, _LOADED, Extension(shell))


def unload(shell: Any) -> None:
    """Takes everything away; repeatable."""
    extension = getattr(shell, _LOADED, None)
    if extension is not None:
        extension.unregister()
        delattr(shell, _LOADED)
