"""The folder of one external program: its inputs are put there before, its outputs are taken from there after."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from rain.core.content import DIRECTORY, settled_type
from rain.core.errors import RainException
from rain.core.kinds import InputWord
from rain.core.spec import OutputSpec
from rain.data.copying import copy_file
from rain.data.tree_files import seal_tree, tree_fingerprint
from rain.data.tree_removal import remove_tree
from rain.executor.attempt_failed import AttemptFailed
from rain.executor.results import ResultStore
from rain.executor.trees import is_directory, place_tree, state_after, stored_folder
from rain.executor.workplace import empty_folder
from rain.protocol.executor import Produced, RunInput

#: Names of files that are listed in an error.
_MAX_LISTED = 10


class ProgramFolder:
    """A fresh folder; names in it are relative, and nothing is read or written through a path that leads out of it."""

    def __init__(self, root: str, inputs: Sequence[RunInput]) -> None:
        """The program's working folder is one below `root`.

        Making folders costs more than starting a program, so it stays for the next one.
        """
        self._root = root
        self._inputs = inputs
        self.path = f"{root}/work"
        if not os.path.isdir(self.path):
            empty_folder(root)
            empty_folder(self.path)
        self._placed: dict[str, InputWord] = {}
        #: Position and state of the store's file behind each input that is a link, by device and inode.
        self._linked: dict[tuple[int, int], tuple[int, os.stat_result]] = {}
        #: Names of input directories with links into the store, and the state of the store's folder.
        self._linked_trees: dict[str, tuple[Path, str]] = {}

    # ------------------------------------------------------------------------------------------ before

    def place(self, word: InputWord) -> str:
        """Makes an input appear in the folder; returns its name there."""
        name = _checked_path(word.path) if word.path is not None else f"input{len(self._placed)}"
        present = self._placed.get(name)
        if present is not None:
            if present.input == word.input and present.write == word.write:
                return name
            raise AttemptFailed(f"two inputs are mapped to the same path {name!r}.")
        self._placed[name] = word
        target = self._make_room(name)
        given = self._inputs[word.input]
        if os.path.lexists(target):
            raise AttemptFailed(f"two inputs are mapped to the same path {name!r}, or one lies in the other.")
        if is_directory(given):
            self._place_tree(name, given, write=word.write)
        elif word.is_directory:
            raise AttemptFailed(f"input {name!r} is a blob, InputDir takes a directory.")
        elif given.data is not None:
            _write_file(target, given.data, 0o600 if word.write else 0o444)
        elif word.write:
            _copy(given.path or "", target)
        else:
            self._link(word.input, given.path or "", target)
        return name

    def stdin(self, word: InputWord | None) -> str:
        """The path to read standard input from."""
        if word is None:
            return os.devnull
        if word.path is not None and not is_directory(self._inputs[word.input]):
            return f"{self.path}/{self.place(word)}"
        given = self._inputs[word.input]
        if is_directory(given):
            raise AttemptFailed("the input for stdin is a directory; only a blob can be read from there.")
        if given.data is None:
            return given.path or ""
        path = f"{self._root}/stdin"
        _write_file(path, given.data, 0o444)
        return path

    def output_name(self, output: OutputSpec, number: int) -> str:
        """The path of an output below the folder."""
        return _checked_path(output.path or output.label or f"output{number}")

    def prepare_outputs(self, names: Sequence[str]) -> None:
        """Makes folders on the way to outputs; to be called when the inputs are there, in which outputs may lie."""
        files = [name for name in names if not name.startswith("/")]
        for name in files:
            self._make_room(name)
            inside = next((other for other in files if other.startswith(f"{name}/")), None)
            if inside is not None:
                raise AttemptFailed(f"output {inside!r} lies in output {name!r}; give one of them another path.")

    # ------------------------------------------------------------------------------------------ after

    def remove_changed_inputs(self, program: str) -> str | None:
        """Removes inputs, which are the store's own files, that the program wrote to; what to tell about the last."""
        complaint = None
        for position, before in self._linked.values():
            path = self._inputs[position].path or ""
            try:
                after = os.stat(path)
            except FileNotFoundError:
                continue
            # Not ctime: it also changes when somebody else links or unlinks the file.
            if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                # Nobody may read it any more.
                os.unlink(path)
                names = [name for name, word in self._placed.items() if word.input == position]
                complaint = (
                    f"program '{program}' changed its input {', '.join(map(repr, names))}. Inputs are shared with "
                    "other tasks and must not be written to; Input(write=True) gives the program a copy of its own."
                )
            elif after.st_mode != before.st_mode:
                os.chmod(path, stat.S_IMODE(before.st_mode))
        return self._remove_changed_trees(program) or complaint

    def _remove_changed_trees(self, program: str) -> str | None:
        complaint = None
        for name, (folder, before) in self._linked_trees.items():
            if state_after(folder) != before:
                remove_tree(folder)
                complaint = (
                    f"program '{program}' changed a file of its input {name!r}. The files are shared with other tasks "
                    "and must not be written to; InputDir(write=True) gives the program copies of its own."
                )
        return complaint

    def collect(self, store: ResultStore, session: int, obj: int, output: OutputSpec, name: str) -> Produced:
        """Moves what the program left at `name`, relative to the folder, into the store."""
        label = repr(output.label if output.label is not None else name)
        real = os.path.realpath(f"{self.path}/{name}")
        try:
            found = os.lstat(real)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.islink(f"{self.path}/{name}"):
                raise AttemptFailed(f"output {label} is a link to {real!r}, where nothing is.") from None
            wanted = "folder" if output.is_directory or output.content_type == DIRECTORY else "file"
            raise AttemptFailed(
                f"the program made no output {label}: there is no {wanted} {name!r} in its folder{self._listing()}."
            ) from None
        passed = self._linked.get((found.st_dev, found.st_ino))
        if passed is not None:
            given = self._inputs[passed[0]]
            kind = settled_type(output.content_type, None) or given.content_type
            return Produced(given.size, kind, same_as_input=passed[0], user=given.user)
        if not real.startswith(os.path.realpath(self.path) + "/"):
            raise AttemptFailed(f"output {label} is a link that leads out of the task's folder, to {real!r}.")
        if stat.S_ISDIR(found.st_mode):
            return self._collect_tree(store, session, obj, output, Path(real))
        if output.is_directory:
            raise AttemptFailed(f"output {label} is a file, a folder was expected.")
        if output.content_type == DIRECTORY:
            raise AttemptFailed(f"output {label} is a file; only a folder can be typed 'dir'.")
        if self._is_of_input_tree(found, real):
            return store.link_file(session, obj, real, output.content_type)
        if not stat.S_ISREG(found.st_mode):
            raise AttemptFailed(f"output {label} is a device, pipe or socket, a regular file was expected.")
        if found.st_nlink == 1:
            # The program may have left it unreadable.
            os.chmod(real, 0o600)
        return store.move_file(session, obj, real, output.content_type)

    def clear(self) -> None:
        """Removes everything that the program left."""
        try:
            found = set(os.listdir(self._root))
        except FileNotFoundError:
            return  # the program took it away; the next one gets it anew
        if found <= {"work"}:
            empty_folder(self.path)
        else:
            empty_folder(self._root)

    # ------------------------------------------------------------------------------------------ directories

    def _place_tree(self, name: str, given: RunInput, *, write: bool) -> None:
        folder = stored_folder(given)
        # Before the program can be at it, and before its own links are made.
        state = None if folder is None or write else tree_fingerprint(folder)
        place_tree(given, Path(self.path, name), write=write)
        if folder is not None and state is not None:
            self._linked_trees[name] = (folder, state)

    def _collect_tree(self, store: ResultStore, session: int, obj: int, output: OutputSpec, found: Path) -> Produced:
        """Moves a folder into the store, links to the store's own files in it included."""
        label = repr(output.label if output.label is not None else output.path)
        try:
            kind = settled_type(output.content_type, DIRECTORY)
            seal_tree(found)
            return store.move_tree(session, obj, found, kind)
        except RainException as error:
            raise AttemptFailed(f"output {label}: {error}") from None

    def _is_of_input_tree(self, found: os.stat_result, path: str) -> bool:
        """Whether a file is what lies at the same place in the store, so that another link is as good as a copy."""
        root = os.path.realpath(self.path)
        for name, (folder, _) in self._linked_trees.items():
            placed = f"{root}/{name}/"
            if path.startswith(placed):
                try:
                    stored = os.lstat(folder / path.removeprefix(placed))
                except OSError:
                    return False
                return (stored.st_dev, stored.st_ino) == (found.st_dev, found.st_ino)
        return False

    # ------------------------------------------------------------------------------------------ inside

    def _link(self, position: int, source: str, target: str) -> None:
        before = os.stat(source)
        self._linked[before.st_dev, before.st_ino] = (position, before)
        try:
            os.link(source, target)
        except FileExistsError:
            raise
        except OSError:
            # Another file system, or too many links to one file.
            os.symlink(source, target)

    def _make_room(self, name: str) -> str:
        path = f"{self.path}/{name}"
        if "/" in name:
            try:
                os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                raise AttemptFailed(f"path {name!r} lies below another input or output that is a file.") from None
        return path

    def _listing(self) -> str:
        names = sorted(set(os.listdir(self.path)) - self._placed.keys())
        if not names:
            return ", which has no new files"
        more = ", …" if len(names) > _MAX_LISTED else ""
        return f", which has {', '.join(map(repr, names[:_MAX_LISTED]))}{more}"


def _checked_path(path: str) -> str:
    """The path in its plain form. Raises AttemptFailed unless it is relative and leads downwards."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise AttemptFailed(f"path {path!r} must be relative and stay below the task's folder.")
    return "/".join(parts)


def _write_file(path: str, data: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)


def _copy(source: str, target: str) -> None:
    with open(source, "rb") as given, open(target, "xb") as copy:
        copy_file(given.fileno(), copy.fileno())
