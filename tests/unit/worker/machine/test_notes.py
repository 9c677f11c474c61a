"""Notes and attachments on their way through the worker's machine."""

from __future__ import annotations

from msgspec.structs import replace

from rain.core.note import TaskNote
from rain.protocol.executor import Produced, TaskDone
from rain.protocol.worker import Failed
from rain.worker.machine.effects import ReportDone, Tell
from rain.worker.machine.events import ExecutorEnded, ExecutorReported
from rain.worker.machine.outbox import MAX_NOTES_BYTES
from tests.unit.worker.machine.bench import Bench, Given, expect, spec


def test_a_report_names_the_tasks_and_outputs_that_have_something() -> None:
    bench = Bench()
    bench.computes(Given(0, first_output=0), Given(1, first_output=2), specs=[spec(n_outputs=2)])
    bench.runs(1, 0)
    bench.runs(0, 1)
    note = TaskNote(stdout="hello")
    plain = TaskDone(0, 1, 10, (Produced(1), Produced(1)))
    noted = TaskDone(1, 1, 10, (Produced(1), Produced(1, user=b"{}")), note)
    bench.happens(ExecutorReported(1, 1, (plain,), ()), ExecutorReported(0, 1, (noted,), ()))
    done = bench.reports(0, 1).done
    expect((done.notes, done.object_users), (((1, note),), ((3, b"{}"),)))


def test_a_report_is_closed_when_its_notes_have_grown() -> None:
    bench = Bench()
    bench.computes(0, 1)
    bench.runs(1, 0)
    bench.runs(0, 1)
    note = TaskNote(stdout="x" * MAX_NOTES_BYTES)
    reports = [ExecutorReported(1 - task, 1, (TaskDone(task, 1, 10, (Produced(1),), note),), ()) for task in (0, 1)]
    bench.happens(*reports)
    bench.reports(0)
    bench.reports(1)


def test_what_is_attached_to_a_task_goes_to_its_executor() -> None:
    bench = Bench()
    bench.says(replace(bench.compute(0, 1), task_users=((1, b"{}"),)))
    expect([bench.runs(1, 0).runs[0].user, bench.runs(0, 1).runs[0].user], [b"", b"{}"])


def test_of_a_killed_process_its_last_words_are_told() -> None:
    bench = Bench(cpus=1)
    bench.computes(0)
    bench.runs(0, 0)
    bench.happens(ExecutorEnded(0, None, 11, 1, stderr="e" * 5000, stdout="o"))
    message = bench.take(Tell).message
    assert isinstance(message, Failed)
    assert message.note == TaskNote(stdout="o", stderr="e" * 5000)
    assert len(message.failure.stderr) < 5000


def test_a_task_that_said_nothing_has_no_note() -> None:
    bench = Bench(cpus=1)
    bench.computes(0)
    bench.runs(0, 0)
    bench.finishes(0, 0)
    expect(bench.take(ReportDone).done.notes, ())
