"""Trees for tests: made from a dict and read back as one."""

from __future__ import annotations

import os
from pathlib import Path


def make(folder: Path, tree: dict) -> Path:
    folder.mkdir()
    for name, value in tree.items():
        if isinstance(value, dict):
            make(folder / name, value)
        else:
            (folder / name).write_bytes(value[0])
            (folder / name).chmod(0o755 if value[1] else 0o644)
    return folder


def found(folder: Path) -> dict:
    """The tree that is there, as `make` takes it."""
    tree = {}
    for path in folder.iterdir():
        assert not path.is_symlink()
        tree[path.name] = found(path) if path.is_dir() else (path.read_bytes(), bool(path.stat().st_mode & 0o111))
    return tree


def make_deep(folder: Path, depth: int) -> Path:
    """Folders in one another, deeper than paths can be."""
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("n" * 15, dir_fd=here)
        below = os.open("n" * 15, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    return folder
