"""Files that programs of one user on one machine take from each other by a link, instead of sending bytes.

Who offers says where its folder is and what the token file in it says; who takes looks whether the folder at that path
is his own, private, and has this token: then both mean the same folder, whatever containers and names are in between.
Nothing is opened by a path that was not checked so, and no name leads out of the folder.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from rain.protocol.transfer import Entry, StoreAt
from rain.wire.incoming import OBJECT_MODE, PART_PREFIX

_log = logging.getLogger("rain.wire.shared_store")

#: No name of an object.
TOKEN_FILE = ".token"
_TOKEN_CHARACTERS = 64
_MACHINE = Path("/proc/sys/kernel/random/boot_id")
_OBJECT_NAME = re.compile(r"s\d{1,10}\.o\d{1,10}", re.ASCII)
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TOKEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

#: Makes a folder (second) with links to the files of another (first), whose tar has so many bytes; False, and nothing
#: is left, where that cannot be. Called in a thread.
LinkTree = Callable[[Path, Path, int], bool]


class OfferedStore:
    """A private folder whose files, named as objects are, others of this user may link. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._place = str(folder.resolve())
        self._token = secrets.token_hex(_TOKEN_CHARACTERS // 2)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(folder / TOKEN_FILE, flags, 0o600), "w") as file:
            file.write(self._token)

    def answer(self, request: int) -> StoreAt:
        """Where the folder is."""
        return StoreAt(request, _machine(), self._place, self._token)

    def mark(self, entry: Entry, path: Path) -> Entry:
        """The entry with the name of its file, where that lies in the folder; it is to be as it is now."""
        if path.parent != self._folder or not _OBJECT_NAME.fullmatch(path.name):
            return entry
        try:
            mtime_ns = path.lstat().st_mtime_ns
        except OSError:
            return entry
        return Entry(entry.object, entry.size, entry.content_type, entry.inline, path.name, mtime_ns)


class NearStore:
    """The folder of a holder on this machine, found by `enter`; to be closed."""

    def __init__(self, folder: int) -> None:
        self._folder = folder

    @classmethod
    def enter(cls, said: StoreAt) -> NearStore | None:
        """The folder that the holder means; None where it is not here, or not this user's alone."""
        if not said.machine or said.machine != _machine() or not Path(said.folder).is_absolute():
            return None
        try:
            folder = os.open(said.folder, _FOLDER_FLAGS)
        except (OSError, ValueError):
            # Another root of files, such as a container's.
            return None
        try:
            if _is_private(os.fstat(folder)) and hmac.compare_digest(_read_token(folder), said.token.encode()):
                return cls(folder)
        except OSError as error:
            _log.info("a holder's store cannot be used from here: %s", error)
        os.close(folder)
        return None

    def close(self) -> None:
        """Nothing is taken any more."""
        os.close(self._folder)

    def link(self, entry: Entry, target: Path) -> bool:
        """Makes `target` another name of the entry's file; False, and nothing is there, where that cannot be.

        It cannot be if the holder has dropped or changed the file meanwhile, or on another file system.
        """
        if not _OBJECT_NAME.fullmatch(entry.file):
            return False
        try:
            target.unlink(missing_ok=True)
            os.link(entry.file, target, src_dir_fd=self._folder, follow_symlinks=False)
            if _is_whole(target.lstat(), entry):
                return True
            target.unlink()
        except OSError as error:
            _log.debug("%s is fetched, it cannot be linked: %s", entry.file, error)
        return False

    async def link_tree(self, entry: Entry, target: Path, link: LinkTree) -> bool:
        """Makes `target` a folder with links to the files of the entry's folder, in a thread; False as `link` says.

        When the caller is cancelled nothing stays, soon.
        """
        folder = self._folder_of(entry)
        if folder is None:
            return False
        part = target.with_name(f"{PART_PREFIX}{secrets.token_hex(8)}-{target.name}")
        # The way over the descriptor stays the same whatever becomes of the names above it.
        source = Path(f"/proc/self/fd/{folder}", entry.file)
        linking = asyncio.get_running_loop().run_in_executor(None, _link, link, source, part, entry.size, folder)
        try:
            linked = await asyncio.shield(linking)
        except asyncio.CancelledError:
            linking.add_done_callback(lambda _: shutil.rmtree(part, ignore_errors=True))
            raise
        if linked:
            try:
                part.rename(target)
            except OSError as error:
                _log.warning("%s is fetched, it cannot be put to %s: %s", entry.file, target, error)
                shutil.rmtree(part, ignore_errors=True)
                return False
        return linked

    def _folder_of(self, entry: Entry) -> int | None:
        """A descriptor of the store, the caller's own; None where the entry's is no folder, or not as it was."""
        if not _OBJECT_NAME.fullmatch(entry.file):
            return None
        try:
            status = os.stat(entry.file, dir_fd=self._folder, follow_symlinks=False)
            is_it = stat.S_ISDIR(status.st_mode) and status.st_mtime_ns == entry.mtime_ns
            return os.dup(self._folder) if is_it else None
        except OSError:
            return None


def _link(link: LinkTree, source: Path, part: Path, size: int, folder: int) -> bool:
    try:
        return link(source, part, size)
    finally:
        os.close(folder)


def _machine() -> str:
    """Which machine this is, since it was last started; "" where that cannot be known."""
    try:
        return _MACHINE.read_text().strip()
    except OSError:
        return ""


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _read_token(folder: int) -> bytes:
    file = os.open(TOKEN_FILE, _TOKEN_FLAGS, dir_fd=folder)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or not _is_private(status):
            raise PermissionError("its token file is not this user's alone")
        return os.read(file, _TOKEN_CHARACTERS)
    finally:
        os.close(file)


def _is_whole(status: os.stat_result, entry: Entry) -> bool:
    return (
        stat.S_ISREG(status.st_mode)
        and stat.S_IMODE(status.st_mode) == OBJECT_MODE
        and status.st_uid == os.geteuid()
        and (status.st_size, status.st_mtime_ns) == (entry.size, entry.mtime_ns)
    )
