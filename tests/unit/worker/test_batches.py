"""Batches to executors and back: inputs come out of the store, results go into it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from rain.core.errors import InvariantViolation, ProtocolViolation
from rain.core.failure import Cause, Failure
from rain.core.spec import TaskSpec
from rain.protocol.codec import encode
from rain.protocol.columns import EMPTY, pack
from rain.protocol.executor import (
    Produced,
    RangeDone,
    Report,
    Run,
    RunInput,
    RunRange,
    RunSpec,
    RunTask,
    TaskDone,
    TaskFailed,
    TaskSkipped,
    to_executor_decoder,
)
from rain.wire.holder import Stored
from rain.worker.batches import MAX_RUN_BYTES, MAX_TASK_INPUT_BYTES, Batches
from rain.worker.machine.effects import QueuedRun, RunBatch
from rain.worker.store import ObjectStore


def unharmed(session: int, objects: list[int]) -> None:
    raise AssertionError(f"objects {objects} of session {session} are as they were stored")


def queued(task: int, first_output: int, inputs: tuple[int, ...] = ()) -> QueuedRun:
    return QueuedRun(task, 0, 3, first_output, memoryview(b"args"), inputs)


def give(batches: Batches, *tasks: QueuedRun) -> list[Run]:
    return list(batches.run(RunBatch(9, 1, (), tasks)))


def test_a_batch_names_small_inputs_by_bytes_and_large_ones_by_path(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    store.put_bytes(1, 0, b"abc", "text")
    store.path(1, 1).write_bytes(b"large")
    store.adopt_file(1, 1)
    spec = TaskSpec("python")
    [run] = Batches(store, unharmed).run(RunBatch(9, 1, ((3, spec),), (queued(7, 2, (1, 0, 1)),)))
    small = RunInput(0, 3, "text", b"abc", None)
    large = RunInput(1, 5, None, None, str(tmp_path / "s1.o1"))
    received = to_executor_decoder.decode(encode(run))
    assert received == Run(1, (RunSpec(1, 3, spec),), (RunTask(7, 0, 3, 2, b"args", (large, small, large)),))


def test_an_input_that_is_not_in_the_store_is_our_mistake(tmp_path: Path) -> None:
    with pytest.raises(InvariantViolation, match=r"s1\.o5"):
        give(Batches(ObjectStore(tmp_path), unharmed), queued(7, 2, (5,)))


def test_very_many_inputs_of_one_task_come_as_files(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    n_inputs = MAX_TASK_INPUT_BYTES // 65536 + 2
    for obj in range(n_inputs):
        store.put_bytes(1, obj, bytes([obj]) * 65536, "blob")
    [run] = give(Batches(store, unharmed), queued(7, 1000, tuple(range(n_inputs))))
    inputs = run.tasks[0].inputs
    assert sum(each.data is not None for each in inputs) == n_inputs - 2
    for each in inputs[-2:]:
        assert each.path is not None
        assert Path(each.path).read_bytes() == bytes([each.object]) * 65536
        assert store.get(1, each.object) == Stored(65536, "blob", Path(each.path))


def test_a_batch_that_brings_very_much_is_several_messages(tmp_path: Path) -> None:
    spec = TaskSpec("python")
    large = QueuedRun(1, 0, 3, 1, memoryview(bytes(MAX_RUN_BYTES + 1)), ())
    order = RunBatch(9, 1, ((3, spec),), (large, queued(2, 2), queued(3, 3)))
    first, second = Batches(ObjectStore(tmp_path), unharmed).run(order)
    assert [[task.task for task in run.tasks] for run in (first, second)] == [[1], [2, 3]]
    assert [len(run.specs) for run in (first, second)] == [1, 0]


def test_inputs_that_earlier_tasks_make_are_named_without_bytes(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    store.put_bytes(1, 0, b"abc", "text")
    follower = QueuedRun(8, 0, 3, 3, memoryview(b""), (0, 2), inner=(2,))
    [run] = give(Batches(store, unharmed), queued(7, 2), follower)
    assert run.inner == (2,)
    assert run.tasks[1].inputs == (RunInput(0, 3, "text", b"abc", None), RunInput(2, 0, None, None, None))


def test_a_batch_in_several_messages_says_where_it_goes_on(tmp_path: Path) -> None:
    large = QueuedRun(1, 0, 3, 1, memoryview(bytes(MAX_RUN_BYTES + 1)), ())
    follower = QueuedRun(2, 0, 3, 2, memoryview(bytes(MAX_RUN_BYTES + 1)), (1,), inner=(1,))
    messages = give(Batches(ObjectStore(tmp_path), unharmed), large, follower)
    assert [(run.inner, run.goes_on) for run in messages] == [((1,), True), ((1,), False)]


def test_what_was_skipped_may_be_given_again(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    batches = Batches(store, unharmed)
    give(batches, queued(6, 1), QueuedRun(7, 0, 3, 2, memoryview(b""), (1,), inner=(1,)))
    failed = TaskFailed(6, 0, 10, Failure(cause=Cause.TASK, message="no"))
    event = batches.take(9, Report(1, (), (failed,), (), (TaskSkipped(7, 0),)))
    assert event.skipped == (TaskSkipped(7, 0),)
    store.put_bytes(1, 1, b"abc", "text")
    give(batches, queued(7, 2, (1,)))
    assert batches.take(9, report(Produced(3, same_as_input=0))).failed == ()


def report(*outputs: Produced, task: int = 7) -> Report:
    return Report(1, (TaskDone(task, 0, 10, outputs),))


def test_results_of_all_forms_are_in_the_store_before_the_machine_hears_of_them(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    batches = Batches(store, unharmed)
    store.put_bytes(1, 0, b"abc", "text")
    give(batches, queued(7, 2, (0,)))
    store.path(1, 3).write_bytes(b"large")
    event = batches.take(9, report(Produced(2, None, b"xy"), Produced(5, "blob"), Produced(3, same_as_input=0)))
    assert (len(event.done), event.failed) == (1, ())
    assert store.get(1, 2) == Stored(2, None, b"xy")
    assert store.get(1, 3) == Stored(5, "blob", tmp_path / "s1.o3")
    assert store.get(1, 4) == Stored(3, "text", b"abc")


@pytest.mark.parametrize(
    "output",
    [Produced(5, None, None), Produced(3, same_as_input=1), Produced(9, same_as_input=0), Produced(5, None, b"abc")],
)
def test_a_result_that_is_not_what_was_reported_fails_its_task(tmp_path: Path, output: Produced) -> None:
    store = ObjectStore(tmp_path)
    batches = Batches(store, unharmed)
    store.put_bytes(1, 0, b"abc")
    give(batches, queued(7, 2, (0,)))
    event = batches.take(9, report(output))
    assert event.done == ()
    [failed] = event.failed
    assert (failed.task, failed.failure.cause) == (7, Cause.EXECUTOR)
    assert "s1.o2" in failed.failure.message


def neighbours(count: int) -> QueuedRun:
    sizes = pack("I", [1] * count)
    return QueuedRun(7, 0, 3, 20, memoryview(b"x" * count), (), count=count, args_size=sizes, n_outputs=2)


def range_done(first: int, sizes: list[int], *, attempt: int = 0, data: bytes | None = None) -> Report:
    count = len(sizes) // 2
    content = b"".join(b"%d" % (each % 10) * each for each in sizes) if data is None else data
    done = RangeDone(first, count, attempt, pack("I", [5] * count), pack("Q", sizes), memoryview(content), "text")
    return Report(1, (), (), (done,))


def test_neighbours_travel_as_a_range(tmp_path: Path) -> None:
    batches = Batches(ObjectStore(tmp_path), unharmed)
    [run] = list(batches.run(RunBatch(9, 1, (), (neighbours(3), queued(30, 40)), gpus=(1,))))
    received = to_executor_decoder.decode(encode(run))
    single = RunTask(30, 0, 3, 40, b"args", (), gpus=(1,))
    assert received == Run(1, (), (RunRange(7, 3, 0, 3, 20, pack("I", [1, 1, 1]), b"xxx", (1,)), single))


def test_results_of_a_range_are_objects_numbered_on_from_its_place_in_the_run(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    batches = Batches(store, unharmed)
    give(batches, neighbours(5))
    event = batches.take(9, range_done(8, [1, 2, 0, 3]))
    assert [done.task for done in event.ranges] == [8]
    assert [store.get(1, obj) for obj in range(21, 27)] == [
        None,
        Stored(1, "text", b"1"),
        Stored(2, "text", b"22"),
        Stored(0, "text", b""),
        Stored(3, "text", b"333"),
        None,
    ]


@pytest.mark.parametrize(
    "nonsense",
    [
        range_done(6, [1, 1, 1, 1]),
        range_done(11, [1, 1, 1, 1]),
        range_done(7, [1, 1], attempt=1),
        range_done(7, [1, 1, 1]),
        range_done(7, [1, 1], data=b"x"),
        Report(1, (), (), (RangeDone(7, 1, 0, EMPTY, pack("Q", [0, 0])),)),
        Report(1, (), (), (RangeDone(7, 1, 0, pack("I", [5]), pack("Q", [0, 0]), EMPTY, "x" * 300),)),
    ],
    ids=["not given before", "not given after", "attempt", "outputs", "bytes", "durations", "content type"],
)
def test_a_range_that_cannot_be_is_refused(tmp_path: Path, nonsense: Report) -> None:
    batches = Batches(ObjectStore(tmp_path), unharmed)
    give(batches, neighbours(5))
    with pytest.raises(ProtocolViolation):
        batches.take(9, nonsense)


def test_a_range_is_taken_once(tmp_path: Path) -> None:
    batches = Batches(ObjectStore(tmp_path), unharmed)
    give(batches, neighbours(5))
    batches.take(9, range_done(7, [1, 1]))
    with pytest.raises(ProtocolViolation):
        batches.take(9, range_done(7, [1, 1]))


def test_one_task_of_a_range_may_be_reported_by_itself(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    batches = Batches(store, unharmed)
    give(batches, neighbours(5))
    batches.take(9, report(Produced(1, None, b"x"), Produced(1, None, b"y"), task=9))
    assert [store.get(1, obj) for obj in (24, 25)] == [Stored(1, None, b"x"), Stored(1, None, b"y")]


def test_results_that_nobody_asked_for_do_not_enter_the_store(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    batches = Batches(store, unharmed)
    give(batches, queued(7, 2))
    batches.take(9, report(Produced(1, None, b"x"), task=8))
    batches.forget_executor(9)
    batches.take(9, report(Produced(1, None, b"x")))
    assert store.get(1, 2) is None


def test_inputs_of_tasks_that_did_not_end_well_are_looked_after(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    damaged: list[tuple[int, list[int]]] = []
    batches = Batches(store, lambda session, objects: damaged.append((session, objects)))
    for obj in (0, 1):
        store.path(1, obj).write_bytes(b"large")
        store.adopt_file(1, obj)
    give(batches, queued(7, 2, (0,)), queued(8, 3, (1,)))
    store.path(1, 0).unlink()
    batches.take(9, Report(1, (), (TaskFailed(7, 0, 1, Failure(cause=Cause.TASK, message="oh")),)))
    assert damaged == [], "the failure is passed on first"
    batches.look_after_inputs()
    assert damaged == [(1, [0])]
    store.path(1, 1).unlink()
    batches.forget_executor(9)
    batches.look_after_inputs()
    assert damaged == [(1, [0]), (1, [1])]


def test_a_full_disk_has_small_inputs_travel_in_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore(tmp_path)
    n_inputs = MAX_TASK_INPUT_BYTES // 65536 + 1
    for obj in range(n_inputs):
        store.put_bytes(1, obj, bytes(65536))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "spill", full)
    [run] = give(Batches(store, unharmed), queued(7, 1000, tuple(range(n_inputs))))
    assert all(each.data is not None for each in run.tasks[0].inputs)


def test_a_content_type_that_is_no_name_fails_the_task(tmp_path: Path) -> None:
    batches = Batches(ObjectStore(tmp_path), unharmed)
    give(batches, queued(7, 2))
    event = batches.take(9, report(Produced(1, "user/" + "x" * 300, b"x")))
    assert "more than 255 characters" in event.failed[0].failure.message


def test_what_an_executor_says_is_cut_to_what_a_message_can_carry(tmp_path: Path) -> None:
    batches = Batches(ObjectStore(tmp_path), unharmed)
    give(batches, queued(7, 2), queued(8, 3))
    huge = "x" * (10 << 20)
    failure = Failure(
        cause=Cause.TASK,
        message=huge,
        exception_type=huge,
        traceback=huge,
        stderr=huge,
        debug=huge,
        pickled=bytes(9 << 20),
    )
    done = TaskDone(7, 0, -5, (Produced(1, None, b"x"),))
    event = batches.take(9, Report(1, (done,), (TaskFailed(8, 0, 1, failure),)))
    assert event.done[0].duration_us == 0
    assert len(encode(event.failed[0])) < 6 << 20
    assert "characters left out" in event.failed[0].failure.debug
    assert event.failed[0].failure.pickled is None
