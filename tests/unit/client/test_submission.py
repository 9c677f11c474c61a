"""Random graphs, submitted as columns and read again, are the same graphs."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple
from unittest import mock

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from rain.client import DataObject, Session, Task, blob, submission
from rain.client.submission import parts, uploads
from rain.protocol.client import Submit, Upload, from_client_decoder
from rain.protocol.codec import encode
from rain.protocol.columns import check_total, unpack


class SentTask(NamedTuple):
    """A task as the columns tell it."""

    kind: str
    n_outputs: int
    first_output: int
    inputs: tuple[int, ...]
    args: bytes


class Sent:
    """What a server reads from the parts of a submit; checks what the protocol promises."""

    def __init__(self) -> None:
        self.specs: list[msgspec.Struct] = []
        self.tasks: list[SentTask] = []
        self.kept: list[int] = []
        self.constants: dict[int, tuple[bytes, str | None]] = {}
        self.uploaded: dict[int, bytes] = {}
        self.n_objects = 0

    def read_submit(self, session: Session) -> int:
        """Takes the next submit of a session without a server, and has the session believe that it was sent."""
        order = session._graph.order()
        assert order is not None
        self.uploaded.clear()
        for header, payload in uploads(order):
            message = from_client_decoder.decode(header)
            assert isinstance(message, Upload)
            assert message.offset == len(self.uploaded.get(message.object, b""))
            self.uploaded[message.object] = self.uploaded.get(message.object, b"") + bytes(payload)
        sent = [from_client_decoder.decode(encode(part)) for part in parts(order)]
        for part in sent:
            assert isinstance(part, Submit)
            assert part.last == (part is sent[-1])
            self._read_part(part)
        session._graph.submitted(order)
        return len(sent)

    def _read_part(self, part: Submit) -> None:
        assert part.first_spec == len(self.specs)
        self.specs += part.specs
        assert (part.first_task, part.first_object) == (len(self.tasks), self.n_objects)
        rows = part.n_tasks
        n_inputs = unpack("I", part.n_inputs, "n_inputs", rows)
        inputs = unpack("I", part.inputs, "inputs")
        check_total(n_inputs, len(inputs), "inputs")
        args_size = unpack("I", part.args_size, "args_size", rows)
        check_total(args_size, len(part.args), "args")
        made = set(self._read_constants(part))
        end = part.first_object + part.n_objects
        at = args_at = 0
        columns = (unpack("I", part.spec, "spec", rows), unpack("I", part.first_output, "first_output", rows))
        for spec_number, first_output, count, size in zip(*columns, n_inputs, args_size, strict=True):
            spec = self.specs[spec_number]
            outputs = range(first_output, first_output + len(spec.outputs))
            assert not made.intersection(outputs)
            made.update(outputs)
            reads = tuple(inputs[at : at + count])
            assert all(number < first_output for number in reads)
            self.tasks.append(
                SentTask(spec.kind, len(outputs), first_output, reads, bytes(part.args[args_at : args_at + size]))
            )
            at, args_at = at + count, args_at + size
        assert {number for number in made if number >= part.first_object} == set(range(part.first_object, end))
        kept = list(unpack("I", part.kept, "kept"))
        assert kept == sorted(kept)
        assert all(part.first_object <= number < end for number in kept)
        self.kept += kept
        self.n_objects = end

    def _read_constants(self, part: Submit) -> list[int]:
        numbers = unpack("I", part.constants, "constants")
        rows = len(numbers)
        sizes = unpack("Q", part.constant_size, "size", rows)
        inline = unpack("B", part.constant_inline, "inline", rows)
        types = unpack("H", part.constant_type, "type", rows)
        at = 0
        for number, size, here, type_number in zip(numbers, sizes, inline, types, strict=True):
            data = bytes(part.constant_data[at : at + size]) if here else self.uploaded[number]
            at += size if here else 0
            assert len(data) == size
            self.constants[number] = (data, part.content_types[type_number])
        assert at == len(part.constant_data)
        return [number for number in numbers if number >= part.first_object]


small = st.integers(0, 10**6)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("blob"), st.binary(max_size=40), st.booleans()),
        st.tuples(
            st.just("task"),
            st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3), st.binary(max_size=20)),
            st.lists(small, max_size=4),
            st.lists(small, max_size=2),
        ),
        st.tuples(st.just("submit")),
    ),
    max_size=40,
)


@given(steps)
def test_the_columns_of_any_graph_tell_the_graph(steps: list[tuple]) -> None:
    # Small limits, so that small graphs have many parts and uploads.
    with (
        mock.patch.multiple(submission, MAX_PART_BYTES=60, MAX_INLINE_CONSTANT=25, UPLOAD_CHUNK_BYTES=10),
        Session(None, 1) as session,
    ):
        sent = Sent()
        usable: list[DataObject] = []
        expected: list[SentTask] = []
        constants: dict[int, tuple[bytes, str | None]] = {}
        kept: set[int] = set()

        def submit() -> None:
            if session.task_count or session.dataobj_count:
                sent.read_submit(session)
            assert (session.task_count, session.dataobj_count) == (0, 0)
            usable[:] = [obj for obj in usable if obj.is_kept() or obj.data is not None]

        for step in steps:
            match step:
                case ("blob", data, keep):
                    obj = blob(data)
                    constants[obj._number] = (data, None)
                    usable.append(obj)
                    if keep:
                        kept.add(obj.keep()._number)
                case ("task", (kind, n_outputs, args), reads, keeps):
                    inputs = [usable[each % len(usable)] for each in reads] if usable else []
                    task = _task(session, kind, inputs, n_outputs, args)
                    numbers = tuple(obj._number for obj in inputs)
                    expected.append(SentTask(kind, n_outputs, task._first_output, numbers, args))
                    outputs = task.outputs.data
                    for each in keeps if outputs else []:
                        kept.add(outputs[each % n_outputs].keep()._number)
                    usable += outputs
                case _:
                    submit()
        submit()
        assert sent.tasks == expected
        assert sent.constants == constants
        assert set(sent.kept) == kept


def _task(
    session: Session, kind: str, inputs: list[DataObject], n_outputs: int, args: bytes, *, config: bytes = b""
) -> Task:
    from rain.client.options import DEFAULTS
    from rain.client.ports import outputs_from

    task = Task.__new__(Task)
    task._build(kind, inputs, outputs_from(n_outputs), DEFAULTS, session=session, args=args, config=config)
    return task


def test_a_submit_of_ordinary_size_is_one_part() -> None:
    with Session(None, 1) as session:
        for _ in range(1000):
            Task([blob("x")], 1, task_type="test")
        assert Sent().read_submit(session) == 1


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 6)), min_size=1, max_size=30), st.integers(0, 70))
def test_no_part_is_larger_than_allowed_unless_a_single_task_is(rows: list[tuple[int, int]], config_bytes: int) -> None:
    with mock.patch.multiple(submission, MAX_PART_BYTES=60, MAX_TASKS_PER_PART=5), Session(None, 1) as session:
        kept = blob("x").keep()
        Sent().read_submit(session)
        for size, n_inputs in rows:
            _task(session, "a", [kept] * n_inputs, 1, bytes(size), config=bytes(config_bytes))
        order = session._graph.order()
        assert order is not None
        made = list(parts(order))
        assert sum(part.n_tasks for part in made) == len(rows)
        for part in made:
            weight = len(part.args) + 16 * part.n_tasks + len(part.inputs)
            assert part.n_tasks <= 1 or (weight <= 60 and part.n_tasks <= 5)
        for part, following in pairwise(made):
            specs_bytes = sum(len(spec.config) for spec in part.specs)
            weight = specs_bytes + len(part.args) + 16 * part.n_tasks + len(part.inputs)
            size, n_inputs = rows[following.first_task]
            assert weight + size + 16 + 4 * n_inputs > 60 or part.n_tasks == 5


def test_a_constant_that_is_not_kept_is_sent_again_and_a_kept_one_is_not() -> None:
    with Session(None, 1) as session:
        loose, kept = blob("loose"), blob("kept").keep()
        Task([loose, kept], 1, task_type="test")
        Sent().read_submit(session)
        Task([loose, kept, loose], 1, task_type="test")
        order = session._graph.order()
        assert order is not None
        [part] = parts(order)
        assert list(unpack("I", part.constants, "constants")) == [loose._number]
        assert bytes(part.constant_data) == b"loose"


def test_equal_specs_are_sent_once_per_session() -> None:
    with Session(None, 1) as session:
        sent = Sent()
        for _ in range(3):
            Task((), 1, task_type="alike")
            sent.read_submit(session)
        Task((), 1, task_type="alike", cpus=2)
        sent.read_submit(session)
        assert len(sent.specs) == 2
