"""The built-in tasks on directories: put together, take a part out, load a folder of this machine."""

from __future__ import annotations

import os
import shutil
from abc import abstractmethod
from pathlib import Path

from rain.core.content import DIRECTORY
from rain.core.errors import RainException
from rain.core.kinds import MakeDirectoryArgs, PathArgs
from rain.core.spec import TaskSpec
from rain.data.tree_files import link_tree, seal_tree
from rain.data.tree_names import checked_parts
from rain.data.tree_part import pick
from rain.data.tree_removal import remove_tree
from rain.executor.attempt_failed import AttemptFailed
from rain.executor.builtins import BuiltinRunner, decoded_args
from rain.executor.runner import Surroundings
from rain.executor.trees import is_directory, place_tree, readable_tree
from rain.protocol.executor import Produced, RunInput, RunTask


class _DirectoryRunner(BuiltinRunner):
    """Builds in a folder beside the task's own, which is left empty."""

    def __init__(self, session: int, spec: TaskSpec, surroundings: Surroundings) -> None:
        super().__init__(session, spec, surroundings)
        self._scratch = Path(surroundings.scratch, "tree")

    def run(self, task: RunTask) -> tuple[Produced, ...]:
        """One output."""
        try:
            return (self._made(task),)
        except RainException as error:
            raise AttemptFailed(f"{self._name}: {error}") from None
        finally:
            remove_tree(self._scratch)

    @abstractmethod
    def _made(self, task: RunTask) -> Produced:
        """The output, in the store."""

    def _stored(self, task: RunTask, tree: Path) -> Produced:
        return self._store.move_tree(self._session, task.first_output, tree, self._type(DIRECTORY))


class MakeDirectoryRunner(_DirectoryRunner):
    """The inputs become files and subdirectories; large ones are links, not copies."""

    def _made(self, task: RunTask) -> Produced:
        paths = decoded_args(task.args, MakeDirectoryArgs).paths
        rows = [("/".join(checked_parts(path)), path, given) for path, given in zip(paths, task.inputs, strict=True)]
        # A subdirectory comes before what else goes into it, and is made with the folder; files come last.
        rows.sort(key=lambda row: (not row[1].endswith("/"), row[0].count("/"), row[0] != ""))
        root = self._scratch
        if not rows or rows[0][0]:
            root.mkdir(mode=0o700)
        for path, shown, given in rows:
            target = root / path
            if shown.endswith("/") != is_directory(given):
                raise AttemptFailed(_wrong_kind(self._name, shown))
            if path:
                _make_folders(root, target, shown)
            if os.path.lexists(target):
                raise AttemptFailed(f"{self._name}: there are two inputs for {shown!r}.")
            if is_directory(given):
                place_tree(given, target, write=False)
            else:
                _place_file(given, target)
        # Also gives what is linked here, and folders, the access rights that they have in a store.
        seal_tree(root)
        return self._stored(task, root)


class SliceDirectoryRunner(_DirectoryRunner):
    """A file or, with a slash at the end of the path, a folder of a directory; a link, not a copy."""

    def _made(self, task: RunTask) -> Produced:
        path = decoded_args(task.args, PathArgs).path
        given = task.inputs[0]
        if not is_directory(given):
            raise AttemptFailed(f"{self._name}: the input is a blob; only of a directory a part can be taken.")
        found = pick(readable_tree(given, self._scratch / "whole"), path)
        if not path.endswith("/"):
            return self._store.link_file(self._session, task.first_output, str(found), self._type(None))
        part = self._scratch / "part"
        self._scratch.mkdir(mode=0o700, exist_ok=True)
        link_tree(found, part, write=False)
        return self._stored(task, part)


class LoadDirectoryRunner(_DirectoryRunner):
    """A folder on this machine becomes an object, a copy: the folder stays its owner's, who may change it."""

    def _made(self, task: RunTask) -> Produced:
        path = decoded_args(task.args, PathArgs).path
        if "://" in path:
            raise AttemptFailed(f"cannot load {path!r} as a directory: only files can be loaded from URLs.")
        if not os.path.isdir(path):
            raise AttemptFailed(_no_folder(path))
        link_tree(Path(path), self._scratch, write=True)
        seal_tree(self._scratch)
        return self._stored(task, self._scratch)


def _make_folders(root: Path, target: Path, shown: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        above = target.parent.relative_to(root)
        raise AttemptFailed(f"{shown!r} cannot be made: {str(above)!r} is a file there.") from None


def _place_file(given: RunInput, target: Path) -> None:
    if given.data is not None:
        target.write_bytes(given.data)
        return
    try:
        # The store's own file, sealed as the new tree will be.
        os.link(given.path or "", target)
    except OSError:
        # Another file system, or too many names of one file.
        shutil.copyfile(given.path or "", target)


def _wrong_kind(name: str, path: str) -> str:
    if path.endswith("/"):
        return f"{name}: the input for {path!r} is a blob; a slash at the end asks for a directory."
    return f"{name}: the input for {path!r} is a directory; to put it there write {path + '/'!r}."


def _no_folder(path: str) -> str:
    if os.path.exists(path):
        return f"{path!r} on the worker is no folder; tasks.open() takes a file, LoadDir() a folder."
    return f"there is no folder {path!r} on the worker. The path is one of the worker's machine, not of the client's."
