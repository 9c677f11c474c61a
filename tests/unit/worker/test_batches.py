"""Batches to executors and back: inputs come out of the store, results go into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rain.core.errors import InvariantViolation
from rain.core.failure import Cause
from rain.core.spec import TaskSpec
from rain.protocol.codec import encode
from rain.protocol.executor import Produced, Report, Run, RunInput, RunSpec, RunTask, TaskDone, to_executor_decoder
from rain.wire.holder import Stored
from rain.worker.batches import MAX_RUN_BYTES, MAX_TASK_INPUT_BYTES, Batches
from rain.worker.machine.effects import QueuedTask, RunBatch
from rain.worker.store import ObjectStore


def queued(task: int, first_output: int, inputs: tuple[int, ...] = ()) -> QueuedTask:
    return QueuedTask(task, 0, 3, first_output, memoryview(b"args"), inputs)


def give(batches: Batches, *tasks: QueuedTask) -> list[Run]:
    return list(batches.run(RunBatch(9, 1, (), tasks)))


def test_a_batch_names_small_inputs_by_bytes_and_large_ones_by_path(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    store.put_bytes(1, 0, b"abc", "text")
    store.path(1, 1).write_bytes(b"large")
    store.adopt_file(1, 1)
    spec = TaskSpec("python")
    [run] = Batches(store).run(RunBatch(9, 1, ((3, spec),), (queued(7, 2, (1, 0, 1)),)))
    small = RunInput(0, 3, "text", b"abc", None)
    large = RunInput(1, 5, None, None, str(tmp_path / "s1.o1"))
    received = to_executor_decoder.decode(encode(run))
    assert received == Run(1, (RunSpec(1, 3, spec),), (RunTask(7, 0, 3, 2, b"args", (large, small, large)),))


def test_an_input_that_is_not_in_the_store_is_our_mistake(tmp_path: Path) -> None:
    with pytest.raises(InvariantViolation, match=r"s1\.o5"):
        give(Batches(ObjectStore(tmp_path)), queued(7, 2, (5,)))


def test_very_many_inputs_of_one_task_come_as_files(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    n_inputs = MAX_TASK_INPUT_BYTES // 65536 + 2
    for obj in range(n_inputs):
        store.put_bytes(1, obj, bytes([obj]) * 65536, "blob")
    [run] = give(Batches(store), queued(7, 1000, tuple(range(n_inputs))))
    inputs = run.tasks[0].inputs
    assert sum(each.data is not None for each in inputs) == n_inputs - 2
    for each in inputs[-2:]:
        assert each.path is not None
        assert Path(each.path).read_bytes() == bytes([each.object]) * 65536
        assert store.get(1, each.object) == Stored(65536, "blob", Path(each.path))


def test_a_batch_that_brings_very_much_is_several_messages(tmp_path: Path) -> None:
    spec = TaskSpec("python")
    large = QueuedTask(1, 0, 3, 1, memoryview(bytes(MAX_RUN_BYTES + 1)), ())
    order = RunBatch(9, 1, ((3, spec),), (large, queued(2, 2), queued(3, 3)))
    first, second = Batches(ObjectStore(tmp_path)).run(order)
    assert [[task.task for task in run.tasks] for run in (first, second)] == [[1], [2, 3]]
    assert [len(run.specs) for run in (first, second)] == [1, 0]


def report(*outputs: Produced, task: int = 7) -> Report:
    return Report(1, (TaskDone(task, 0, 10, outputs),))


def test_results_of_all_forms_are_in_the_store_before_the_machine_hears_of_them(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    batches = Batches(store)
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
    batches = Batches(store)
    store.put_bytes(1, 0, b"abc")
    give(batches, queued(7, 2, (0,)))
    event = batches.take(9, report(output))
    assert event.done == ()
    [failed] = event.failed
    assert (failed.task, failed.failure.cause) == (7, Cause.EXECUTOR)
    assert "s1.o2" in failed.failure.message


def test_results_that_nobody_asked_for_do_not_enter_the_store(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    batches = Batches(store)
    give(batches, queued(7, 2))
    batches.take(9, report(Produced(1, None, b"x"), task=8))
    batches.forget_executor(9)
    batches.take(9, report(Produced(1, None, b"x")))
    assert store.get(1, 2) is None
