"""Directories as tasks get them: the store's folder as it is, or a folder made of a tar.

A large directory object is a sealed folder in the store, which nobody writes to; a small one arrives as the bytes of
its tar, like any small object. What is no tar at all although somebody typed it `dir` is noticed here.
"""

from __future__ import annotations

from pathlib import Path

from rain.core.content import DIRECTORY
from rain.core.errors import RainException
from rain.data.tree_files import link_tree, protect_tree, tree_fingerprint
from rain.data.unpack import unpack
from rain.protocol.executor import RunInput


def is_directory(given: RunInput) -> bool:
    """Whether an input is a directory."""
    return given.content_type == DIRECTORY


def stored_folder(given: RunInput) -> Path | None:
    """The folder of the store that a directory is, None where it is a tar. It must not be changed."""
    if given.path is None:
        return None
    path = Path(given.path)
    return path if path.is_dir() else None


def place_tree(given: RunInput, target: Path, *, write: bool) -> None:
    """Makes the folder `target` with the files of a directory: read-only links, or with `write` copies.

    Raises RainException, with nothing left.
    """
    folder = stored_folder(given)
    if folder is not None:
        link_tree(folder, target, write=write)
        return
    archive = Path(given.path or "") if given.data is None else given.data
    unpack(archive, target, read_only=not write)


def readable_tree(given: RunInput, scratch: Path) -> Path:
    """A folder with the files of a directory, not to be changed: the store's, or `scratch`, which is made of a tar."""
    folder = stored_folder(given)
    if folder is not None:
        return folder
    scratch.parent.mkdir(mode=0o700, exist_ok=True)
    place_tree(given, scratch, write=False)
    return scratch


def state_after(folder: Path) -> str | None:
    """The fingerprint of a folder of the store that a task was at, and its files are read-only again; None: gone."""
    try:
        protect_tree(folder)
        return tree_fingerprint(folder)
    except RainException:
        return None
