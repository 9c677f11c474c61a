"""Reports to the server: completed, joined while the worker is busy, always in order."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from rain.core.errors import InvariantViolation
from rain.core.note import TaskNote
from rain.protocol.columns import pack
from rain.protocol.worker import Done, FromWorker, WorkerPong, from_worker_decoder
from rain.worker.machine.effects import ReportDone
from rain.worker.reports import HOLD_BYTES, Reports
from rain.worker.store import ObjectStore


def order(session: int, task: int, obj: int, *, size: int, urgent: bool, content_type: str | None = None) -> ReportDone:
    done = Done(
        session=session,
        task=pack("I", [task]),
        attempt=pack("I", [0]),
        duration_us=pack("I", [7]),
        size=pack("Q", [size]),
        inline=pack("B", [size <= 4096]),
        content_types=((0, 1, content_type),) if content_type else (),
    )
    return ReportDone(done, array("I", [obj]), urgent)


def run(
    scenario: Callable[[Reports, ObjectStore, list[FromWorker]], None], folder: Path, *, wait: bool = False
) -> None:
    async def main() -> None:
        sent: list[FromWorker] = []
        told = asyncio.Event()

        def send(data: bytes) -> None:
            sent.append(from_worker_decoder.decode(data))
            told.set()

        store = ObjectStore(folder)
        reports = Reports(store, send)
        scenario(reports, store, sent)
        if wait:
            async with asyncio.timeout(10):
                await told.wait()
            assert len(sent) == 1

    asyncio.run(main())


def test_an_urgent_report_leaves_at_once_with_its_bytes(tmp_path: Path) -> None:
    def scenario(reports: Reports, store: ObjectStore, sent: list[FromWorker]) -> None:
        store.put_bytes(1, 5, b"abc")
        reports.report(order(1, 4, 5, size=3, urgent=True))
        [done] = sent
        assert isinstance(done, Done)
        assert (bytes(done.data), bytes(done.task)) == (b"abc", bytes(pack("I", [4])))

    run(scenario, tmp_path)


def test_held_reports_of_a_session_are_joined_into_one(tmp_path: Path) -> None:
    def scenario(reports: Reports, store: ObjectStore, sent: list[FromWorker]) -> None:
        store.put_bytes(1, 5, b"abc")
        store.put_bytes(1, 7, b"de")
        reports.report(order(1, 4, 5, size=3, urgent=False))
        reports.report(order(1, 6, 6, size=9999, urgent=False))
        assert sent == []
        store.discard(1, [5])
        reports.report(order(1, 8, 7, size=2, urgent=True, content_type="text"))
        [done] = sent
        assert isinstance(done, Done)
        assert bytes(done.task) == bytes(pack("I", [4, 6, 8]))
        assert bytes(done.size) == bytes(pack("Q", [3, 9999, 2]))
        assert bytes(done.inline) == b"\1\0\1"
        assert bytes(done.data) == b"abcde"
        assert done.content_types == ((2, 1, "text"),)

    run(scenario, tmp_path)


def test_joined_reports_say_of_which_task_and_output_their_notes_are(tmp_path: Path) -> None:
    def noted(task: int, obj: int, *, urgent: bool) -> ReportDone:
        plain = order(1, task, obj, size=9999, urgent=urgent)
        note = TaskNote(stdout=f"task {task}")
        return replace(plain, done=replace(plain.done, notes=((0, note),), object_users=((0, b"%d" % obj),)))

    def scenario(reports: Reports, store: ObjectStore, sent: list[FromWorker]) -> None:
        reports.report(order(1, 4, 5, size=9999, urgent=False))
        reports.report(noted(6, 7, urgent=False))
        reports.report(noted(8, 9, urgent=True))
        [done] = sent
        assert isinstance(done, Done)
        assert [(place, note.stdout) for place, note in done.notes] == [(1, "task 6"), (2, "task 8")]
        assert done.object_users == ((1, b"7"), (2, b"9"))

    run(scenario, tmp_path)


def test_large_notes_are_not_held(tmp_path: Path) -> None:
    def scenario(reports: Reports, store: ObjectStore, sent: list[FromWorker]) -> None:
        plain = order(1, 4, 5, size=9999, urgent=False)
        reports.report(replace(plain, done=replace(plain.done, notes=((0, TaskNote(debug="x" * HOLD_BYTES)),))))
        assert len(sent) == 1

    run(scenario, tmp_path)


def test_what_is_told_comes_after_what_was_held(tmp_path: Path) -> None:
    def scenario(reports: Reports, store: ObjectStore, sent: list[FromWorker]) -> None:
        store.put_bytes(1, 5, b"abc")
        store.put_bytes(2, 5, b"abc")
        reports.report(order(1, 4, 5, size=3, urgent=False))
        reports.report(order(2, 4, 5, size=3, urgent=False))
        reports.tell(WorkerPong())
        first, second, third = sent
        assert isinstance(first, Done)
        assert isinstance(second, Done)
        assert (first.session, second.session) == (1, 2)
        assert third == WorkerPong()

    run(scenario, tmp_path)


def test_held_reports_leave_by_themselves(tmp_path: Path) -> None:
    def scenario(reports: Reports, store: ObjectStore, sent: list[FromWorker]) -> None:
        store.put_bytes(1, 5, b"abc")
        reports.report(order(1, 4, 5, size=3, urgent=False))
        assert sent == []

    run(scenario, tmp_path, wait=True)


def test_what_is_held_is_bounded(tmp_path: Path) -> None:
    def scenario(reports: Reports, store: ObjectStore, sent: list[FromWorker]) -> None:
        store.put_bytes(1, 5, bytes(4096))
        for task in range(HOLD_BYTES // 4096 + 1):
            reports.report(order(1, task, 5, size=4096, urgent=False))
        assert len(sent) == 1

    run(scenario, tmp_path)


def test_a_reported_result_that_is_not_in_the_store_is_our_mistake(tmp_path: Path) -> None:
    def scenario(reports: Reports, store: ObjectStore, sent: list[FromWorker]) -> None:
        with pytest.raises(InvariantViolation, match=r"s1\.o5"):
            reports.report(order(1, 4, 5, size=3, urgent=True))

    run(scenario, tmp_path)
