"""Files of holders on this machine are linked; whatever is not certainly this user's own store is left alone."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rain.protocol.transfer import Entry, Peer, StoreAt
from rain.wire.endpoint import close_context, new_context
from rain.wire.fetcher import Fetcher
from rain.wire.gate import Gate
from rain.wire.holder import Holder, Stored
from rain.wire.keys import new_keypair
from rain.wire.shared_store import TOKEN_FILE, LinkTree, NearStore, OfferedStore

CONTENT = os.urandom(300_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "store"
    made.mkdir(mode=0o700)
    return made


def put(folder: Path, content: bytes = CONTENT) -> Path:
    path = folder / "s1.o7"
    path.write_bytes(content)
    path.chmod(0o444)
    return path


def entry_of(offered: OfferedStore, path: Path) -> Entry:
    return offered.mark(Entry(7, path.lstat().st_size, "blob"), path)


class World:
    """A holder that offers its folder, and a fetcher into another one."""

    def __init__(self, folder: Path, inbox: Path, *, share: bool, link_tree: LinkTree | None) -> None:
        self.stored: dict[int, Stored] = {}
        self.folder = folder
        self.inbox = inbox
        self.context = new_context()
        self.gate = Gate(self.context)
        reader, keys = new_keypair(), new_keypair()
        self.gate.allow(reader.public, "worker")
        self.offered = OfferedStore(folder)
        self.holder = Holder(self.context, self.gate, keys, self._look, roles=("worker",), offered=self.offered)
        self.fetcher = Fetcher(self.context, reader, inbox, share=share, link_tree=link_tree)
        self.fetcher.learn([Peer(1, "127.0.0.1", self.holder.bind("127.0.0.1", 0), keys.public.decode())])

    def _look(self, session: int, obj: int) -> Stored | None:
        return self.stored.get(obj)

    def put(self, content: bytes = CONTENT) -> Path:
        path = put(self.folder, content)
        self.stored[7] = Stored(len(content), "blob", path)
        return path

    async def get(self) -> Path | None:
        [found] = await self.fetcher.get(1, 1, [7])
        assert found is None or isinstance(found.data, Path)
        return None if found is None else found.data  # type: ignore[return-value]

    def close(self) -> None:
        self.fetcher.close()
        self.holder.close()
        self.gate.close()
        close_context(self.context)


def run(
    scenario: Callable[[World], Coroutine[Any, Any, None]],
    folder: Path,
    *,
    share: bool = True,
    link_tree: LinkTree | None = None,
) -> None:
    @asynccontextmanager
    async def world() -> AsyncIterator[World]:
        inbox = folder.parent / "in"
        inbox.mkdir()
        made = World(folder, inbox, share=share, link_tree=link_tree)
        try:
            yield made
        finally:
            made.close()

    async def main() -> None:
        async with asyncio.timeout(30), world() as made:
            await scenario(made)

    asyncio.run(main())


def test_a_file_of_a_holder_on_this_machine_is_linked(folder: Path) -> None:
    async def scenario(w: World) -> None:
        path = w.put()
        taken = await w.get()
        assert taken == w.inbox / "s1.o7"
        assert taken.samefile(path)
        path.unlink()
        assert taken.read_bytes() == CONTENT

    run(scenario, folder)


def test_without_sharing_the_bytes_are_sent(folder: Path) -> None:
    async def scenario(w: World) -> None:
        path = w.put()
        taken = await w.get()
        assert taken is not None
        assert not taken.samefile(path)
        assert taken.read_bytes() == CONTENT

    run(scenario, folder, share=False)


def test_a_file_that_was_replaced_after_the_answer_is_fetched(folder: Path) -> None:
    async def scenario(w: World) -> None:
        path = w.put()
        real = w.offered.answer

        def answer(request: int) -> StoreAt:
            path.unlink()
            put(w.folder, CONTENT[::-1])
            return real(request)

        w.offered.answer = answer  # type: ignore[method-assign]
        taken = await w.get()
        assert taken is not None
        assert not taken.samefile(path)
        assert taken.read_bytes() == CONTENT[::-1]

    run(scenario, folder)


def test_an_object_that_is_dropped_while_it_is_taken_is_not_there(folder: Path) -> None:
    async def scenario(w: World) -> None:
        path = w.put()
        real = w.offered.answer

        def answer(request: int) -> StoreAt:
            path.unlink()
            w.stored.clear()
            return real(request)

        w.offered.answer = answer  # type: ignore[method-assign]
        assert await w.get() is None
        assert list(w.inbox.iterdir()) == []

    run(scenario, folder)


def test_a_folder_is_linked_by_who_knows_how(folder: Path) -> None:
    def link(source: Path, target: Path, size: int) -> bool:
        assert size == 500_000
        shutil.copytree(source, target, copy_function=os.link)
        return True

    async def scenario(w: World) -> None:
        tree = w.folder / "s1.o7"
        tree.mkdir()
        (tree / "leaf").write_bytes(b"leaf")
        w.stored[7] = Stored(500_000, "dir", tree)
        taken = await w.get()
        assert taken is not None
        assert (taken / "leaf").samefile(tree / "leaf")

    run(scenario, folder, link_tree=link)


def test_a_folder_that_cannot_be_linked_leaves_nothing(folder: Path) -> None:
    async def scenario(w: World) -> None:
        tree = w.folder / "s1.o7"
        tree.mkdir()
        w.stored[7] = Stored(500_000, "dir", tree)
        assert await w.get() is None
        assert list(w.inbox.iterdir()) == []

    run(scenario, folder, link_tree=lambda source, target, size: False)


def test_only_files_of_the_store_itself_are_named(folder: Path, tmp_path: Path) -> None:
    offered = OfferedStore(folder)
    assert entry_of(offered, put(folder)).file == "s1.o7"
    assert entry_of(offered, put(tmp_path)).file == ""
    (folder / ".part-1").write_bytes(b"")
    assert entry_of(offered, folder / ".part-1").file == ""


@pytest.mark.parametrize(
    "change",
    [
        {"machine": "another"},
        {"machine": ""},
        {"folder": "store"},
        {"folder": "/nowhere"},
        {"folder": "/\0"},
        {"token": ""},
        {"token": "0" * 64},
    ],
)
def test_a_store_is_entered_with_the_right_machine_folder_and_token_alone(folder: Path, change: dict[str, str]) -> None:
    said = OfferedStore(folder).answer(0)
    near = NearStore.enter(said)
    assert near is not None
    near.close()
    assert NearStore.enter(msgspec.structs.replace(said, **change)) is None


def test_a_store_that_others_can_read_is_not_entered(folder: Path) -> None:
    said = OfferedStore(folder).answer(0)
    folder.chmod(0o755)
    assert NearStore.enter(said) is None


def test_a_token_that_is_a_link_is_not_believed(folder: Path, tmp_path: Path) -> None:
    said = OfferedStore(folder).answer(0)
    (folder / TOKEN_FILE).rename(tmp_path / "token")
    (folder / TOKEN_FILE).symlink_to(tmp_path / "token")
    assert NearStore.enter(said) is None


def test_a_store_that_is_itself_a_link_is_not_entered(folder: Path, tmp_path: Path) -> None:
    said = OfferedStore(folder).answer(0)
    (tmp_path / "other").symlink_to(folder)
    assert NearStore.enter(msgspec.structs.replace(said, folder=str(tmp_path / "other"))) is None


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "s1.o7/../../secret", ".token", "s1.o7\n", "link", ""])
def test_no_name_leads_out_of_the_store(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    (folder / "link").symlink_to(tmp_path / "secret")
    offered = OfferedStore(folder)
    entry = msgspec.structs.replace(entry_of(offered, put(folder)), file=name)
    near = NearStore.enter(offered.answer(0))
    assert near is not None
    assert not near.link(entry, tmp_path / "taken")
    assert not (tmp_path / "taken").exists()
    near.close()


@pytest.mark.parametrize("change", ["mode", "size", "time", "kind"])
def test_a_file_that_is_not_what_was_said_is_not_taken(folder: Path, tmp_path: Path, change: str) -> None:
    offered = OfferedStore(folder)
    path = put(folder)
    entry = entry_of(offered, path)
    if change == "mode":
        path.chmod(0o644)
    elif change == "size":
        entry = msgspec.structs.replace(entry, size=entry.size + 1)
    elif change == "time":
        os.utime(path, ns=(0, 0))
    else:
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    near = NearStore.enter(offered.answer(0))
    assert near is not None
    assert not near.link(entry, tmp_path / "taken")
    assert not (tmp_path / "taken").is_symlink()
    assert not (tmp_path / "taken").exists()
    near.close()
