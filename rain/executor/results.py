"""Results of tasks into the worker's store, never half written."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rain.core.errors import RainException
from rain.core.ids import object_name
from rain.data.aging import date_back
from rain.data.copying import copy_file
from rain.data.tree_archive import TreeArchive
from rain.data.tree_files import link_tree
from rain.data.tree_removal import remove_tree
from rain.executor.attempt_failed import NoRoom, is_no_room
from rain.protocol.executor import MAX_PIPE_RESULT, Produced

_STORED_MODE = 0o444


class ResultStore:
    """The store as one executor writes to it: under a name of its own first, then renamed, read-only."""

    __slots__ = ("_executor", "_folder", "_written")

    def __init__(self, folder: str, executor: int) -> None:
        self._folder = folder
        self._executor = executor
        #: Files of the current attempt.
        self._written: list[str] = []

    def begin(self) -> None:
        """What was written before belongs to an attempt that is reported."""
        if self._written:
            self._written.clear()

    def discard(self) -> None:
        """Removes what the current attempt wrote."""
        for path in self._written:
            remove_tree(Path(path))
        self._written.clear()

    def keep_bytes(self, session: int, obj: int, data: bytes, content_type: str | None) -> Produced:
        """The output with these bytes: in the report where small, else as a file."""
        size = len(data)
        if size <= MAX_PIPE_RESULT:
            return Produced(size, content_type, data)
        path, temporary = self._paths(session, obj)
        with self._making(temporary, path), open(temporary, "wb") as file:
            file.write(data)
        self._publish(temporary, path)
        return Produced(size, content_type)

    def move_file(self, session: int, obj: int, source: str, content_type: str | None) -> Produced:
        """The output with the bytes of a file that is the task's own, which is moved, or read where small."""
        status = os.stat(source)
        size = status.st_size
        if size <= MAX_PIPE_RESULT:
            with open(source, "rb") as file:
                data = file.read()
            os.unlink(source)
            return Produced(len(data), content_type, data)
        if status.st_nlink > 1:
            # It has a name elsewhere, too: it is not ours to move and write-protect, and others may write to it.
            copied = self.concatenate(session, obj, [source], content_type)
            os.unlink(source)
            return copied
        path, temporary = self._paths(session, obj)
        try:
            os.rename(source, temporary)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # The task's folder is on another file system than the store.
            moved = self.concatenate(session, obj, [source], content_type)
            os.unlink(source)
            return moved
        self._publish(temporary, path)
        return Produced(size, content_type)

    def link_file(self, session: int, obj: int, source: str, content_type: str | None) -> Produced:
        """The output with the bytes of a file of the store, which stays where it is, too."""
        status = os.stat(source)
        if status.st_size <= MAX_PIPE_RESULT:
            return self.concatenate(session, obj, [source], content_type)
        path, temporary = self._paths(session, obj)
        _unlink(temporary)
        try:
            os.link(source, temporary)
        except OSError:
            # Another file system, or too many names of one file.
            return self.concatenate(session, obj, [source], content_type)
        # Renaming one name of a file to another one of it does nothing.
        _unlink(path)
        os.rename(temporary, path)
        self._written.append(path)
        return Produced(status.st_size, content_type)

    def move_tree(self, session: int, obj: int, source: Path, content_type: str | None) -> Produced:
        """The output with the files of a sealed folder that is the task's own, which is moved, or read where small.

        Raises RainException where it cannot be a directory object.
        """
        archive = TreeArchive(source)
        if archive.size <= MAX_PIPE_RESULT:
            data = archive.read(0, archive.size)
            remove_tree(source)
            return Produced(archive.size, content_type, data)
        path, temporary = self._paths(session, obj)
        remove_tree(Path(temporary))
        try:
            os.rename(source, temporary)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # The task's folder is on another file system than the store, so these are copies.
            with self._making(temporary, path):
                link_tree(source, Path(temporary), write=False)
            remove_tree(source)
        # From an earlier attempt.
        remove_tree(Path(path))
        os.rename(temporary, path)
        self._written.append(path)
        return Produced(archive.size, content_type)

    def concatenate(
        self, session: int, obj: int, parts: Iterable[bytes | str | None], content_type: str | None
    ) -> Produced:
        """The output with the bytes of all parts in order: bytes, or paths of files that belong to somebody else."""
        path, temporary = self._paths(session, obj)
        with self._making(temporary, path):
            with open(temporary, "wb") as file:
                for part in parts:
                    if isinstance(part, str):
                        file.flush()
                        with open(part, "rb", buffering=0) as source:
                            copy_file(source.fileno(), file.fileno())
                    elif part:
                        file.write(part)
            size = os.stat(temporary).st_size
            if size <= MAX_PIPE_RESULT:
                return self.move_file(session, obj, temporary, content_type)
        self._publish(temporary, path)
        return Produced(size, content_type)

    @contextmanager
    def _making(self, temporary: str, path: str) -> Iterator[None]:
        """Nothing of a result that could not be written stays. Raises NoRoom where the disk is full."""
        try:
            yield
        except BaseException as error:
            remove_tree(Path(temporary))
            if is_no_room(error) or (isinstance(error, RainException) and is_no_room(error.__cause__)):
                name = os.path.basename(path)
                raise NoRoom(
                    f"{name}, a result, could not be written to the worker's folder {self._folder}: {_reason(error)}."
                ) from None
            raise

    def _publish(self, temporary: str, path: str) -> None:
        os.chmod(temporary, _STORED_MODE)
        date_back(temporary)
        os.rename(temporary, path)
        self._written.append(path)

    def path(self, session: int, obj: int) -> str:
        """Where the object is if it is a file."""
        return f"{self._folder}/{object_name(session, obj)}"

    def _paths(self, session: int, obj: int) -> tuple[str, str]:
        name = object_name(session, obj)
        return f"{self._folder}/{name}", f"{self._folder}/.e{self._executor}.{name}"


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    return cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # it was never made
