"""Removing what the store does not hold any more: files at once, folders from their place at once."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rain.core.errors import RainException
from rain.data.tree_removal import remove_tree
from rain.wire.incoming import PART_PREFIX

_log = logging.getLogger("rain.worker.store")


class Remover:
    """Folders can be large, and the loop does not wait until they are gone."""

    def __init__(self, folder: Path) -> None:
        """`folder`: on the same file system as all that is to be removed."""
        self._folder = folder
        self._thread: ThreadPoolExecutor | None = None
        self._n_removed = 0

    def close(self) -> None:
        """Returns when nothing works in the folder any more; what is left is left."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)
            self._thread = None

    def remove(self, path: Path) -> None:
        """Removes a file now, and a folder from its place now and altogether later; nothing if there is none."""
        try:
            path.unlink(missing_ok=True)
        except IsADirectoryError:
            self._n_removed += 1
            # No name of an object, and none that a part has.
            gone = self._folder / f"{PART_PREFIX}removed-{self._n_removed}"
            try:
                path.rename(gone)
            except OSError as error:
                _log.warning("an object's folder cannot be removed: %s", error)
                return
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "rain-remover")
            self._thread.submit(_remove_folder, gone)
        except OSError as error:
            _log.warning("an object's file cannot be removed: %s", error)


def unlink(path: Path) -> None:
    """Removes a file, if it is there."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("an object's file cannot be removed: %s", error)


def _remove_folder(path: Path) -> None:
    try:
        remove_tree(path)
    except RainException as error:
        _log.warning("an object's folder cannot be removed: %s", error)
