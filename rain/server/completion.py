"""Fills bytes from the stash into messages that the machine ordered, and keeps these within the limit of a message."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import accumulate, compress

from msgspec.structs import replace

from rain.protocol.client import Located, WaitDone
from rain.protocol.columns import EMPTY, Column, column, unpack
from rain.protocol.worker import Compute
from rain.server.stash import Stash

MIB = 1 << 20
#: A message to a worker is cut when its arguments and columns come to more than this.
COMPUTE_BYTES = 32 * MIB
#: Small objects that travel inside one message; what is more is fetched from the data endpoint.
INLINE_BYTES = 8 * MIB
#: What a task takes in the columns of a `Compute`, apart from its inputs and arguments.
_ROW_BYTES = 24
_INPUT_BYTES = 4


def complete_compute(stash: Stash, compute: Compute, limit: int = COMPUTE_BYTES) -> list[Compute]:
    """The message with arguments and inline sources, as several in the same order where it would be too large."""
    tasks = unpack("I", compute.task, "task")
    args_size, args = stash.arguments_of(compute.session, tasks)
    inline, data = _inline_data(stash, compute.session, compute.source, compute.source_inline)
    completed = replace(compute, args_size=args_size, args=args, source_inline=inline, source_data=data)
    attached = sum(len(user) for _, user in compute.task_users)
    attached += sum(len(spec) + len(info) for _, spec, info in compute.object_users)
    if len(args) + len(compute.inputs) + _ROW_BYTES * len(tasks) + attached <= limit:
        return [completed]
    return list(_split(completed, limit))


def complete_located(stash: Stash, session: int, objects: Column, located: Located) -> Located:
    """The message with the bytes of the objects that travel inside it."""
    inline, data = _inline_data(stash, session, objects, located.inline)
    return replace(located, inline=inline, data=data)


def complete_wait(stash: Stash, session: int, done: WaitDone) -> WaitDone:
    """The answer to a wait with the bytes of the results that come along."""
    assert done.located is not None, "without any there is nothing to complete"
    return replace(done, located=complete_located(stash, session, done.objects, done.located))


def _inline_data(stash: Stash, session: int, objects: Column, inline: Column) -> tuple[Column, Column]:
    """The flags of what travels inside the message, bounded, and the bytes."""
    flags = array("B", inline)
    if 1 not in flags:
        return inline, EMPTY
    numbers = unpack("I", objects, "objects", len(flags))
    wanted = numbers if 0 not in flags else array("I", compress(numbers, flags))
    joined = stash.small_parts(session, wanted)
    if sum(map(len, joined)) <= INLINE_BYTES:
        return inline, memoryview(b"".join(joined))
    parts = stash.small_objects(session, wanted)
    room = INLINE_BYTES
    kept: list[bytes] = []
    source = iter(parts)
    for row, flag in enumerate(flags):
        if flag:
            data = next(source)
            room -= len(data)
            if room >= 0:
                kept.append(data)
            else:
                flags[row] = 0
    return column(flags), memoryview(b"".join(kept))


class _SourceRows:
    """The sources of a message, handed out with the first task that needs each."""

    def __init__(self, compute: Compute) -> None:
        self._objects = unpack("I", compute.source, "source")
        n = len(self._objects)
        self._holders = unpack("I", compute.source_holder, "source_holder", n)
        self._sizes = unpack("Q", compute.source_size, "source_size", n)
        self._inline = unpack("B", compute.source_inline, "source_inline", n)
        self._types = compute.source_types
        self._data = compute.source_data
        lengths = (size if inline else 0 for size, inline in zip(self._sizes, self._inline, strict=True))
        self._starts = list(accumulate(lengths, initial=0))
        self._rows = {obj: row for row, obj in enumerate(self._objects)}

    def take(self, inputs: array[int]) -> dict[str, object]:
        """The fields of a message for tasks with these inputs; a source is taken once."""
        wanted = (self._rows.pop(obj, None) for obj in dict.fromkeys(inputs))
        rows = [row for row in wanted if row is not None]
        data = b"".join(self._data[self._starts[row] : self._starts[row + 1]] for row in rows)
        return {
            "source": column(array("I", (self._objects[row] for row in rows))),
            "source_holder": column(array("I", (self._holders[row] for row in rows))),
            "source_size": column(array("Q", (self._sizes[row] for row in rows))),
            "source_inline": column(array("B", (self._inline[row] for row in rows))),
            "source_data": memoryview(data),
            "source_types": tuple(self._types[row] for row in rows) if self._types else (),
        }


class _Users:
    """What users attached to the tasks and inputs of a message, handed out with the tasks."""

    def __init__(self, compute: Compute) -> None:
        self._tasks = compute.task_users
        self._objects = compute.object_users

    def take(self, start: int, stop: int, inputs: array[int]) -> dict[str, object]:
        """The fields of a message with the tasks from `start` to before `stop`, and these inputs."""
        read = set(inputs) if self._objects else ()
        return {
            "task_users": tuple([(row - start, user) for row, user in self._tasks if start <= row < stop]),
            "object_users": tuple([entry for entry in self._objects if entry[0] in read]),
        }


def _split(compute: Compute, limit: int) -> Iterator[Compute]:
    """The same tasks in several messages; each has at least one task, specs and peers come with the first."""
    args_size = unpack("I", compute.args_size, "args_size")
    n_inputs = unpack("I", compute.n_inputs, "n_inputs", len(args_size))
    args_at = list(accumulate(args_size, initial=0))
    inputs_at = list(accumulate(n_inputs, initial=0))
    inputs = unpack("I", compute.inputs, "inputs", inputs_at[-1])
    sources = _SourceRows(compute)
    users = _Users(compute)
    start = 0
    for stop in _cuts(args_size, n_inputs, limit):
        own = inputs[inputs_at[start] : inputs_at[stop]]
        per_task = {
            name: getattr(compute, name)[start * 4 : stop * 4]
            for name in ("task", "spec", "attempt", "first_output", "n_inputs", "args_size")
        }
        yield replace(
            compute,
            **per_task,
            inputs=column(own),
            args=compute.args[args_at[start] : args_at[stop]],
            specs=() if start else compute.specs,
            peers=() if start else compute.peers,
            **sources.take(own),
            **users.take(start, stop, own),
        )
        start = stop


def _cuts(args_size: array[int], n_inputs: array[int], limit: int) -> Iterator[int]:
    """Where messages end: positions behind their last task."""
    used = 0
    for row, (size, count) in enumerate(zip(args_size, n_inputs, strict=True)):
        cost = _ROW_BYTES + size + count * _INPUT_BYTES
        if used and used + cost > limit:
            yield row
            used = 0
        used += cost
    yield len(args_size)
