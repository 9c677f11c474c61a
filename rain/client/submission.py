"""From the columns of a graph to the messages of a submit: parts, and the uploads that precede them. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, compress, pairwise
from typing import Any

import msgspec

from rain.client.graph import HELD, IS_HELD, AnyConstant, Columns
from rain.client.on_disk import OnDisk
from rain.core.spec import TaskSpec
from rain.protocol.client import (
    MAX_INLINE_CONSTANT,
    MAX_PART_BYTES,
    MAX_TASKS_PER_PART,
    UPLOAD_CHUNK_BYTES,
    Submit,
    Upload,
)
from rain.protocol.codec import encode
from rain.protocol.columns import column, pack

#: What a task takes in the columns besides its arguments, and each of its inputs.
_TASK_BYTES = 16
_INPUT_BYTES = 4
#: What users attached goes with the first part, or, where it is more than this, with parts of its own before it.
_MAX_USERS_BYTES = 4 << 20
_USER_BYTES = 16

Frames = list[bytes | memoryview]


class Order(msgspec.Struct, frozen=True):
    """What one submit sends: where its rows lie in the session's numbers."""

    session: int
    columns: Columns
    #: Flags of all objects of the session.
    flags: bytearray
    first_spec: int
    #: Specs that the server has not got.
    specs: Sequence[TaskSpec]
    #: What users attached (JSON), by number.
    task_users: dict[int, bytes] = {}
    object_users: dict[int, bytes] = {}
    #: What other threads made, see `client.makers`; marked in the flags.
    lent: list[tuple[int, range]] = []


class _Cut(msgspec.Struct, frozen=True):
    """Where a part begins: a row of tasks, an object's number, and a spec among the new ones."""

    task: int
    object: int
    spec: int


def uploads(order: Order) -> Iterator[Frames]:
    """The chunks of the large constants in memory, one message (header, payload) each."""
    for number, constant in _sent_constants(order).items():
        total = constant.size
        if total <= MAX_INLINE_CONSTANT or isinstance(constant, OnDisk):
            continue
        view = memoryview(constant.data)
        for offset in range(0, total, UPLOAD_CHUNK_BYTES):
            header = encode(Upload(session=order.session, object=number, offset=offset, total=total))
            yield [header, view[offset : offset + UPLOAD_CHUNK_BYTES]]


def streamed_uploads(order: Order) -> Iterator[Frames]:
    """The same of those on disk, each read when it is asked for. Raises RainException where one has changed."""
    for number, constant in _sent_constants(order).items():
        if not isinstance(constant, OnDisk) or constant.size <= MAX_INLINE_CONSTANT:
            continue
        for offset in range(0, constant.size, UPLOAD_CHUNK_BYTES):
            length = min(UPLOAD_CHUNK_BYTES, constant.size - offset)
            header = encode(Upload(session=order.session, object=number, offset=offset, total=constant.size))
            yield [header, constant.read(offset, length)]


def check_on_disk(order: Order) -> bool:
    """Whether some constants are streamed. Raises RainException where one on disk is not what it was."""
    on_disk = [constant for constant in _sent_constants(order).values() if isinstance(constant, OnDisk)]
    for constant in on_disk:
        constant.check()
    return any(constant.size > MAX_INLINE_CONSTANT for constant in on_disk)


def parts(order: Order) -> Iterator[Submit]:
    """The parts of the submit, in order; at least one."""
    columns = order.columns
    constants = _sent_constants(order)
    cuts = _cuts(order, constants)
    cuts.append(_Cut(len(columns.spec), len(order.flags), len(order.specs)))
    args = memoryview(columns.args)
    args_at = inputs_at = 0
    *full, rest = _user_chunks(order)
    for chunk in full:
        yield Submit(
            session=order.session,
            last=False,
            first_spec=order.first_spec,
            first_task=columns.first_task,
            n_tasks=0,
            first_object=columns.first_object,
            n_objects=0,
            **chunk,
        )
    for begin, end in pairwise(cuts):
        n_inputs = columns.n_inputs[begin.task : end.task]
        args_size = columns.args_size[begin.task : end.task]
        args_end = args_at + sum(args_size)
        inputs_end = inputs_at + sum(n_inputs)
        yield Submit(
            session=order.session,
            last=end is cuts[-1],
            first_spec=order.first_spec + begin.spec,
            specs=tuple(order.specs[begin.spec : end.spec]),
            first_task=columns.first_task + begin.task,
            n_tasks=end.task - begin.task,
            spec=column(columns.spec[begin.task : end.task]),
            first_output=column(columns.first_output[begin.task : end.task]),
            n_inputs=column(n_inputs),
            inputs=column(columns.inputs[inputs_at:inputs_end]),
            args_size=column(args_size),
            args=args[args_at:args_end],
            first_object=begin.object,
            n_objects=end.object - begin.object,
            kept=_kept(order.flags, begin.object, end.object),
            **_constant_columns(_between(constants, begin.object, end.object, first=begin is cuts[0])),
            **(rest if begin is cuts[0] else {}),
        )
        args_at, inputs_at = args_end, inputs_end


def _user_chunks(order: Order) -> list[dict[str, Any]]:
    """The fields of parts that carry what users attached, at most `_MAX_USERS_BYTES` in each; the last may be empty."""
    chunks: list[dict[str, list[tuple[int, bytes]]]] = [{}]
    size = 0
    for name, users in (("task_users", order.task_users), ("object_users", order.object_users)):
        for entry in users.items():
            size += len(entry[1]) + _USER_BYTES
            if size > _MAX_USERS_BYTES:
                chunks.append({})
                size = len(entry[1]) + _USER_BYTES
            chunks[-1].setdefault(name, []).append(entry)
    return [{name: tuple(entries) for name, entries in chunk.items()} for chunk in chunks]


def _sent_constants(order: Order) -> dict[int, AnyConstant]:
    """The new constants, and those of earlier submits that are not kept at the server, by number."""
    first, flags = order.columns.first_object, order.flags
    return {
        number: constant
        for number, constant in order.columns.constants.items()
        if number >= first or not flags[number] & HELD
    }


def _between(constants: dict[int, AnyConstant], begin: int, end: int, *, first: bool) -> dict[int, AnyConstant]:
    """The constants of one part; constants of earlier submits go with the first."""
    return {
        number: constant
        for number, constant in constants.items()
        if begin <= number < end or (first and number < begin)
    }


def _cuts(order: Order, constants: dict[int, AnyConstant]) -> list[_Cut]:
    """Where parts begin so that none grows over `MAX_PART_BYTES` unless a single row does.

    Rows are taken in the order in which they were made, so each part has its own range of tasks and of objects.
    """
    columns = order.columns
    cuts = [_Cut(0, columns.first_object, 0)]
    size = 0
    for number, spec in enumerate(order.specs):
        weight = len(spec.body) + len(spec.config)
        if size and size + weight > MAX_PART_BYTES:
            cuts.append(_Cut(0, columns.first_object, number))
            size = 0
        size += weight
    all_specs = len(order.specs)
    inline = _inline_bytes(constants.values())
    in_columns = len(columns.args) + _TASK_BYTES * len(columns.spec) + _INPUT_BYTES * len(columns.inputs)
    if size + inline + in_columns <= MAX_PART_BYTES and len(columns.spec) <= MAX_TASKS_PER_PART:
        return cuts
    if not constants:
        return cuts + [_Cut(row, columns.first_output[row], all_specs) for row in _task_cuts(columns, size)]
    size += _inline_bytes(constant for number, constant in constants.items() if number < columns.first_object)
    last_task = 0
    for task, number, weight in _rows(columns, constants):
        if (size and size + weight > MAX_PART_BYTES) or task - last_task >= MAX_TASKS_PER_PART:
            cuts.append(_Cut(task, number, all_specs))
            size, last_task = 0, task
        size += weight
    return cuts


def _task_cuts(columns: Columns, size: int) -> Iterator[int]:
    """Rows at which parts begin, after one that has `size` bytes; for the usual large submit, tasks alone."""
    ends = list(accumulate(map(_weight, columns.args_size, columns.n_inputs)))
    row, before = 0, -size
    while True:
        fits = bisect_right(ends, before + MAX_PART_BYTES, row)
        # A row that is too large by itself gets a part of its own, after what precedes it.
        row = min(max(fits, row + (before >= 0)), row + MAX_TASKS_PER_PART)
        if row >= len(ends):
            return
        yield row
        before = ends[row - 1] if row else 0


def _rows(columns: Columns, constants: dict[int, AnyConstant]) -> Iterator[tuple[int, int, int]]:
    """New constants and tasks as (row of the next task, number of the first object, bytes), in the order of making."""
    new = [(number, constant) for number, constant in sorted(constants.items()) if number >= columns.first_object]
    at = 0
    for task, (first_output, args_size) in enumerate(zip(columns.first_output, columns.args_size, strict=True)):
        while at < len(new) and new[at][0] < first_output:
            yield task, new[at][0], _inline_bytes([new[at][1]])
            at += 1
        yield task, first_output, _weight(args_size, columns.n_inputs[task])
    for number, constant in new[at:]:
        yield len(columns.spec), number, _inline_bytes([constant])


def _weight(args_size: int, n_inputs: int) -> int:
    return args_size + _TASK_BYTES + _INPUT_BYTES * n_inputs


def _inline_bytes(constants: Iterable[AnyConstant]) -> int:
    return sum(each.size for each in constants if each.size <= MAX_INLINE_CONSTANT)


def _kept(flags: bytearray, begin: int, end: int) -> memoryview:
    return pack("I", compress(range(begin, end), flags[begin:end].translate(IS_HELD)))


def _constant_columns(constants: dict[int, AnyConstant]) -> dict[str, Any]:
    """The fields of a `Submit` that carry constants."""
    types: dict[str | None, int] = {}
    inline = bytearray()
    data = bytearray()
    for constant in constants.values():
        small = constant.size <= MAX_INLINE_CONSTANT
        inline.append(small)
        if small:
            data += constant.data
    type_numbers = array("H", (types.setdefault(c.content_type, len(types)) for c in constants.values()))
    return {
        "constants": pack("I", constants),
        "constant_size": pack("Q", (constant.size for constant in constants.values())),
        "constant_inline": memoryview(inline),
        "constant_data": memoryview(data),
        "constant_type": column(type_numbers),
        "content_types": tuple(types),
    }
