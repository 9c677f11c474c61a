"""Directories in a worker's store: folders that are objects, their tar for others, and their end."""

from __future__ import annotations

import asyncio
import threading
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from rain.data.tree_archive import TreeArchive
from rain.data.tree_files import seal_tree
from rain.protocol.transfer import Peer
from rain.wire.holder import Stored
from rain.worker import transfers as transfers_module
from rain.worker.machine.effects import Fetch
from rain.worker.machine.events import Event, InputsArrived
from rain.worker.store import ObjectStore
from rain.worker.stored_tree import StoredTree, link_stored_tree
from rain.worker.transfers import Transfers

BIG = bytes(100_000)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    made = ObjectStore(tmp_path)
    yield made
    made.close()


def grow(path: Path, content: bytes = BIG) -> TreeArchive:
    (path / "sub" / "empty").mkdir(parents=True)
    (path / "sub" / "file").write_bytes(content)
    seal_tree(path)
    return TreeArchive(path)


def held(store: ObjectStore, obj: int) -> StoredTree:
    stored = store.get(1, obj)
    assert stored is not None
    assert isinstance(stored.data, StoredTree)
    return stored.data


def names(folder: Path) -> set[str]:
    """What lies in the store's folder, without what is being removed."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".part-removed")}


def test_a_folder_is_adopted_and_gives_the_ranges_of_its_tar(store: ObjectStore) -> None:
    archive = grow(store.path(1, 3))
    assert store.adopt_tree(1, 3, archive.size) == archive.size
    assert store.get(1, 3) == Stored(archive.size, "dir", held(store, 3))
    assert held(store, 3).read(0, archive.size) == archive.read(0, archive.size)
    assert held(store, 3).read(700, 9) == archive.read(700, 9)
    assert store.spill(1, 3) == store.path(1, 3)


def test_only_a_folder_is_adopted(store: ObjectStore, tmp_path: Path) -> None:
    assert store.adopt_tree(1, 3, 10) is None
    store.path(1, 3).write_bytes(b"a file")
    assert store.adopt_tree(1, 3, 10) is None
    store.path(1, 4).symlink_to(tmp_path)
    assert store.adopt_tree(1, 4, 10) is None


def test_an_alias_is_the_same_folder_which_goes_with_the_last_name(store: ObjectStore, tmp_path: Path) -> None:
    size = grow(store.path(1, 3)).size
    store.adopt_tree(1, 3, size)
    assert store.alias(1, 4, 3) == size
    store.discard(1, [3])
    assert (held(store, 4).path / "sub" / "file").read_bytes() == BIG
    store.discard(1, [4])
    assert names(tmp_path) == set()
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_a_closed_session_leaves_no_folder(store: ObjectStore, tmp_path: Path) -> None:
    for obj in (3, 4):
        store.adopt_tree(1, obj, grow(store.path(1, obj)).size)
    grow(store.path(1, 5))
    store.close_session(1)
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_made_again_replaces_the_old_one(store: ObjectStore, tmp_path: Path) -> None:
    store.adopt_tree(1, 3, grow(store.path(1, 3)).size)
    archive = grow(tmp_path / "new", b"new" * 30_000)
    store.adopt_tree(1, 3, archive.size, source=tmp_path / "new")
    assert (store.path(1, 3) / "sub" / "file").read_bytes() == b"new" * 30_000
    assert held(store, 3).read(0, 1) is not None
    store.put_bytes(1, 3, b"small", "dir")
    assert names(tmp_path) == set()


@pytest.mark.parametrize("how", ["removed", "added to", "seen when it was read"])
def test_a_folder_that_somebody_spoilt_is_lost_once_under_all_its_names(store: ObjectStore, how: str) -> None:
    size = grow(store.path(1, 3)).size
    store.adopt_tree(1, 3, size)
    store.alias(1, 4, 3)
    assert store.damaged(1, [3]) == []
    tree = held(store, 3)
    if how == "removed":
        store.path(1, 3).rename(store.path(1, 99))
    elif how == "added to":
        (tree.path / "more").write_bytes(b"")
    else:
        assert tree.read(0, 10) is not None
        (tree.path / "sub" / "file").chmod(0o644)
        (tree.path / "sub" / "file").write_bytes(b"shorter")
        assert tree.read(0, size) is None
    assert sorted(store.damaged(1, [3])) == [3, 4]
    assert store.damaged(1, [3, 4]) == []
    assert not store.path(1, 3).exists()
    assert store.adopt_tree(1, 3, grow(store.path(1, 3)).size) == size


def test_a_tar_of_another_size_than_was_said_is_not_given(store: ObjectStore) -> None:
    size = grow(store.path(1, 3)).size
    store.adopt_tree(1, 3, size + 512)
    assert held(store, 3).read(0, 1) is None
    assert store.damaged(1, [3]) == [3]


# ------------------------------------------------------------------------------------------ fetching


class OneTar:
    """A holder with one object, typed as a directory, which it puts into the store's folder."""

    def __init__(self, folder: Path, data: bytes) -> None:
        self.folder = folder
        self.data = data

    def learn(self, peers: Iterable[Peer]) -> None:
        raise AssertionError("nobody asked for that")

    async def get(self, holder: int, session: int, objects: Sequence[int]) -> list[Stored | None]:
        [obj] = objects
        path = self.folder / f"s{session}.o{obj}"
        path.write_bytes(self.data)
        return [Stored(len(self.data), "dir", path)]


def fetch(store: ObjectStore, folder: Path, data: bytes) -> list[Event]:
    async def main() -> None:
        transfers = Transfers(OneTar(folder, data), store, events.append)
        transfers.fetch(Fetch(1, 2, array("I", [7]), array("Q", [len(data)])))
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})

    events: list[Event] = []
    asyncio.run(main())
    return events


def test_a_directory_that_arrives_becomes_a_sealed_folder(store: ObjectStore, tmp_path: Path) -> None:
    archive = grow(tmp_path / "source")
    data = archive.read(0, archive.size)
    assert fetch(store, tmp_path, data) == [InputsArrived(1, array("I", [7]), array("Q", [len(data)]))]
    assert held(store, 7).read(0, len(data)) == data
    assert (store.path(1, 7) / "sub" / "file").stat().st_mode & 0o777 == 0o444
    assert names(tmp_path) == {"source", "s1.o7"}


def test_what_is_no_tar_stays_a_file_for_its_task_to_complain_of(store: ObjectStore, tmp_path: Path) -> None:
    assert fetch(store, tmp_path, b"no tar" * 20_000) != []
    stored = store.get(1, 7)
    assert stored is not None
    if isinstance(stored.data, Path):
        assert stored.data.is_file()
    assert names(tmp_path) == {"s1.o7"}


def test_a_session_that_is_closed_while_its_directory_is_unpacked_leaves_nothing(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = grow(tmp_path / "source")
    may_end = threading.Event()
    has_begun = threading.Event()
    unpacked = transfers_module._unpacked

    def slow(tar: Path, part: Path) -> int | None:
        has_begun.set()
        size = unpacked(tar, part)
        assert may_end.wait(10)
        return size

    async def main() -> None:
        transfers = Transfers(OneTar(tmp_path, archive.read(0, archive.size)), store, events.append)
        transfers.fetch(Fetch(1, 2, array("I", [7]), array("Q", [archive.size])))
        await asyncio.to_thread(has_begun.wait, 10)
        transfers.close_session(1)
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
        may_end.set()
        await asyncio.get_running_loop().shutdown_default_executor()
        # What the thread leaves is removed in the loop's next turn.
        await asyncio.sleep(0)

    events: list[Event] = []
    monkeypatch.setattr(transfers_module, "_unpacked", slow)
    asyncio.run(main())
    assert events == []
    store.close()
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


def test_the_folder_of_another_worker_is_linked_file_by_file(tmp_path: Path) -> None:
    archive = grow(tmp_path / "theirs")
    assert link_stored_tree(tmp_path / "theirs", tmp_path / "ours", archive.size)
    assert (tmp_path / "ours" / "sub" / "file").samefile(tmp_path / "theirs" / "sub" / "file")
    assert TreeArchive(tmp_path / "ours").read(0, archive.size) == archive.read(0, archive.size)


@pytest.mark.parametrize("change", ["gone", "grown"])
def test_a_folder_that_is_not_what_was_said_is_not_linked(tmp_path: Path, change: str) -> None:
    archive = grow(tmp_path / "theirs")
    if change == "gone":
        (tmp_path / "theirs").rename(tmp_path / "elsewhere")
    else:
        (tmp_path / "theirs" / "more").write_bytes(b"more")
    assert not link_stored_tree(tmp_path / "theirs", tmp_path / "ours", archive.size)
    assert not (tmp_path / "ours").exists()


class OneFolder:
    """A holder nearby: the object is a folder of the store's already."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def learn(self, peers: Iterable[Peer]) -> None: ...

    async def get(self, holder: int, session: int, objects: Sequence[int]) -> list[Stored | None]:
        size = grow(self.store.path(1, 3)).size
        return [Stored(size, "dir", self.store.path(1, 3))]


def test_a_directory_that_was_linked_is_adopted_as_it_is(store: ObjectStore, tmp_path: Path) -> None:
    async def main() -> list[Event]:
        arrived = asyncio.Event()
        events: list[Event] = []

        def post(event: Event) -> None:
            events.append(event)
            arrived.set()

        transfers = Transfers(OneFolder(store), store, post)
        transfers.fetch(Fetch(1, 2, array("I", [3]), array("Q", [len(BIG)])))
        async with asyncio.timeout(10):
            await arrived.wait()
        await transfers.close()
        return events

    [event] = asyncio.run(main())
    size = TreeArchive(tmp_path / "s1.o3").size
    assert event == InputsArrived(1, array("I", [3]), array("Q", [size]))
    assert held(store, 3).read(0, size) == TreeArchive(tmp_path / "s1.o3").read(0, size)
