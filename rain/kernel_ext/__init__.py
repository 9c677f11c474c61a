"""Rain in IPython and Jupyter: `%load_ext rain` registers the magics `%rain` and `%%rain`."""

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """Called by `%load_ext rain`: registers the magics; starts and prints nothing."""
    from rain.kernel_ext.extension import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Called by `%unload_ext rain`: takes away what loading registered; sessions and clusters stay."""
    from rain.kernel_ext.extension import unload

    unload(shell)
