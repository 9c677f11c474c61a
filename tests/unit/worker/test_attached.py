"""What users attached to objects, between the server, the tasks that read them, and the tasks that make them."""

from __future__ import annotations

from pathlib import Path

from rain.core.note import MAX_CAPTURED_BYTES, TaskNote
from rain.core.user import MAX_USER_BYTES
from rain.protocol.columns import pack
from rain.protocol.executor import Produced, Report, TaskDone
from rain.protocol.worker import Compute
from rain.worker.attached import AttachedUsers
from rain.worker.batches import Batches
from rain.worker.machine.effects import QueuedRun, RunBatch
from rain.worker.plausible import MAX_CAPTURED, MAX_DEBUG, plausible_done
from rain.worker.store import ObjectStore


def given(*object_users: tuple[int, bytes, bytes]) -> Compute:
    return Compute(
        session=1,
        task=pack("I", []),
        spec=pack("I", []),
        attempt=pack("I", []),
        first_output=pack("I", []),
        n_inputs=pack("I", []),
        object_users=object_users,
    )


def test_what_the_server_says_and_what_a_task_here_attached_are_put_together() -> None:
    attached = AttachedUsers()
    assert not attached.any_in(1)
    attached.made(1, 5, (Produced(1), Produced(1, user=b"made")))
    attached.learn(given((6, b"spec", b""), (7, b"", b"info")))
    assert [attached.of(1, obj) for obj in (5, 6, 7)] == [(b"", b""), (b"spec", b"made"), (b"", b"info")]
    attached.discard(1, [6])
    assert attached.of(1, 6) == (b"", b"")
    attached.close_session(1)
    assert not attached.any_in(1)


def test_a_task_is_handed_what_another_one_attached_to_its_input(tmp_path: Path) -> None:
    attached = AttachedUsers()
    batches = Batches(ObjectStore(tmp_path), lambda session, objects: None, attached)
    maker = QueuedRun(1, 0, 0, 5, memoryview(b""), (), b"mine")
    [run] = batches.run(RunBatch(9, 1, (), (maker,), (2,)))
    assert (run.tasks[0].user, run.tasks[0].gpus) == (b"mine", (2,))
    batches.take(9, Report(1, (TaskDone(1, 0, 10, (Produced(1, None, b"x", user=b"made"),)),)))
    attached.learn(given((5, b"spec", b"")))
    [run] = batches.run(RunBatch(9, 1, (), (QueuedRun(2, 0, 0, 6, memoryview(b""), (5,)),)))
    [read] = run.tasks[0].inputs
    assert (read.spec_user, read.user) == (b"spec", b"made")


def test_notes_and_attachments_of_an_executor_are_cut_to_what_a_message_can_carry() -> None:
    large = "x" * (MAX_DEBUG + MAX_CAPTURED)
    note = TaskNote(debug=large, user=bytes(MAX_USER_BYTES + 1), stdout=large, stderr="e")
    done = plausible_done(TaskDone(1, 0, 10, (Produced(1, user=bytes(MAX_USER_BYTES + 1)), Produced(1)), note))
    assert done.outputs == (Produced(1), Produced(1))
    assert done.note is not None
    assert done.note.user == b""
    assert "characters left out" in done.note.debug
    assert len(done.note.stdout) < MAX_CAPTURED + 100
    assert done.note.stderr == "e"


def test_what_an_honest_executor_says_is_left_alone() -> None:
    note = TaskNote("d", b"{}", "x" * MAX_CAPTURED_BYTES, "e")
    done = TaskDone(1, 0, 10, (Produced(1, user=b"{}"),), note)
    assert plausible_done(done) == done
