"""The graph that a session has built and not yet submitted, as columns from the first task on.

Rows are ids: task `first_task + i` is row i. An input exists before the task that reads it, so the graph is acyclic by
construction and nothing walks over it at the submit. Handles (`Task`, `DataObject`) are not kept here.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import msgspec

from rain.client.on_disk import OnDisk

#: Bits of an object's flags: what its author wants, whatever became of it.
KEPT = 1
CONSTANT = 2
#: Another thread submitted it before the one that made it had said all: kept at the server until that one submits.
LENT = 4
#: A notebook has a handle of its task, see `client.keeping`.
IN_HAND = 8
#: The server keeps it.
HELD = KEPT | LENT | IN_HAND

#: Flags with KEPT, without it, and whether they have it, by `bytes.translate`; likewise for the others.
WITH_KEPT = bytes(flags | KEPT for flags in range(256))
WITHOUT_KEPT = bytes(flags & ~HELD for flags in range(256))
IS_KEPT = bytes(flags & KEPT for flags in range(256))
IS_HELD = bytes(flags & HELD != 0 for flags in range(256))
#: Whether it stays until somebody lets go of it, so that it can still be kept.
MAY_BE_KEPT = bytes(flags & (LENT | IN_HAND) for flags in range(256))
WITH_LENT = bytes(flags | LENT for flags in range(256))
WITHOUT_LENT = bytes(flags & ~LENT for flags in range(256))
#: Whether what is lent is nothing else.
IS_LENT_ONLY = bytes(flags & HELD == LENT for flags in range(256))


class Constant(msgspec.Struct, frozen=True):
    """The bytes of a constant, as `blob` encoded them, and what they are."""

    data: bytes
    content_type: str | None
    label: str | None

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)


#: Of constants that were given none of their own.
CONSTANT_LABEL = "const"
#: What sessions number as constants.
AnyConstant = Constant | OnDisk


class SentConstant(msgspec.Struct, frozen=True):
    """A constant that was submitted by a handle which is gone; its bytes are at the server, if anywhere."""

    content_type: str | None
    label: str | None = None
    data: bytes | None = None


class Rows(msgspec.Struct, frozen=True):
    """Many tasks of one spec, as columns."""

    n_tasks: int
    n_inputs: array[int]
    inputs: array[int]
    args_size: array[int]
    args: bytes | bytearray


class Columns:
    """What one submit will carry; a fresh one begins after each submit."""

    __slots__ = (
        "args",
        "args_size",
        "constants",
        "earlier",
        "earlier_runs",
        "first_object",
        "first_output",
        "first_task",
        "inputs",
        "n_inputs",
        "spec",
    )

    def __init__(self, first_task: int, first_object: int) -> None:
        self.first_task = first_task
        self.first_object = first_object
        #: u32 per task: number of its spec, of its first output, how many inputs it has.
        self.spec = array("I")
        self.first_output = array("I")
        self.n_inputs = array("I")
        #: u32 each: the objects that tasks read, in the order of tasks.
        self.inputs = array("I")
        #: u32 per task: length of its arguments in `args`.
        self.args_size = array("I")
        self.args = bytearray()
        #: New constants, and constants of earlier submits that tasks of this one read.
        self.constants: dict[int, AnyConstant] = {}
        #: Objects of earlier submits, kept ones, that tasks of this one read.
        self.earlier: set[int] = set()
        #: The same, for what tasks read as arrays.
        self.earlier_runs: list[range] = []

    def reads_earlier(self, number: int) -> bool:
        """Whether a task of this submit reads this object of an earlier one."""
        return number in self.earlier or any(number in run for run in self.earlier_runs)


class GraphBuilder:
    """Appends tasks and objects, and numbers them; not thread-safe, its session holds the lock.

    The flags of objects and the specs and places of tasks stay for the life of the session: 9 bytes per task and 1 per
    object, by which errors can name a task long after its handle is gone.
    """

    __slots__ = ("columns", "flags", "places", "specs")

    def __init__(self) -> None:
        self.columns = Columns(0, 0)
        #: Per object of the session: KEPT, CONSTANT.
        self.flags = bytearray()
        #: Per task of the session: number of its spec, and of the place in the program where it was made.
        self.specs = array("I")
        self.places = array("I")

    @property
    def n_tasks(self) -> int:
        """Tasks that were built and not submitted."""
        return len(self.columns.spec)

    @property
    def n_objects(self) -> int:
        """Objects that were built and not submitted, constants included."""
        return len(self.flags) - self.columns.first_object

    def add_task(self, spec: int, n_outputs: int, inputs: Sequence[int], args: bytes, place: int) -> tuple[int, int]:
        """Appends a task; returns its number and that of its first output. `inputs` are objects that exist."""
        columns = self.columns
        flags = self.flags
        number = len(self.specs)
        first_output = len(flags)
        self.specs.append(spec)
        self.places.append(place)
        columns.spec.append(spec)
        columns.first_output.append(first_output)
        columns.n_inputs.append(len(inputs))
        if inputs:
            columns.inputs.extend(inputs)
        columns.args_size.append(len(args))
        if args:
            columns.args += args
        if n_outputs == 1:
            flags.append(0)
        else:
            flags.extend(bytes(n_outputs))
        return number, first_output

    def add_tasks(self, spec: int, n_outputs: int, rows: Rows, place: int) -> tuple[int, int]:
        """Appends tasks that are alike; returns the numbers of the first one and of its first output."""
        columns = self.columns
        n_tasks = rows.n_tasks
        number = len(self.specs)
        first_output = len(self.flags)
        specs = array("I", (spec,)) * n_tasks
        self.specs.extend(specs)
        self.places.extend(array("I", (place,)) * n_tasks)
        columns.spec.extend(specs)
        if n_outputs:
            columns.first_output.extend(range(first_output, first_output + n_tasks * n_outputs, n_outputs))
        else:
            columns.first_output.extend(array("I", (first_output,)) * n_tasks)
        columns.n_inputs.extend(rows.n_inputs)
        columns.inputs.extend(rows.inputs)
        columns.args_size.extend(rows.args_size)
        columns.args += rows.args
        self.flags.extend(bytes(n_tasks * n_outputs))
        return number, first_output

    def add_constant(self, constant: AnyConstant) -> int:
        """Appends a constant; returns its number."""
        number = len(self.flags)
        self.flags.append(CONSTANT)
        self.columns.constants[number] = constant
        return number

    def use_constant(self, number: int, constant: AnyConstant) -> None:
        """A task will read this constant; one of an earlier submit is sent again unless it is kept."""
        self.columns.constants.setdefault(number, constant)

    def use_earlier(self, number: int) -> None:
        """A task will read this kept object of an earlier submit."""
        self.columns.earlier.add(number)

    def use_earlier_run(self, numbers: range) -> None:
        """Tasks will read these kept objects of an earlier submit."""
        self.columns.earlier_runs.append(numbers)

    def is_submitted_task(self, number: int) -> bool:
        """Whether the task went with an earlier submit."""
        return number < self.columns.first_task

    def is_submitted_object(self, number: int) -> bool:
        """Whether the object went with an earlier submit."""
        return number < self.columns.first_object

    def keep(self, objects: Iterable[int]) -> None:
        """Marks objects as kept."""
        for number in objects:
            self.flags[number] |= KEPT

    def unkeep(self, objects: Iterable[int]) -> None:
        """Takes the mark away."""
        for number in objects:
            self.flags[number] &= ~HELD

    def keep_run(self, numbers: range) -> None:
        """Marks the objects of an array as kept."""
        rows = in_place(numbers)
        self.flags[rows] = self.flags[rows].translate(WITH_KEPT)

    def unkeep_run(self, numbers: range) -> None:
        """Takes the marks of an array away."""
        rows = in_place(numbers)
        self.flags[rows] = self.flags[rows].translate(WITHOUT_KEPT)

    def marks(self, numbers: range, table: bytes = IS_KEPT) -> bytearray:
        """Not 0 for each object of an array that carries the mark, 0 for the others."""
        marks = self.flags[in_place(numbers)].translate(table)
        if numbers.step < 0:
            marks.reverse()
        return marks

    def first_unkept(self, numbers: range, table: bytes = IS_KEPT) -> int | None:
        """The place in the array of the first object that does not carry the mark; None where all do."""
        place = self.marks(numbers, table).find(0)
        return None if place < 0 else place

    def is_kept(self, number: int) -> bool:
        """Whether the object carries the mark."""
        return bool(self.flags[number] & KEPT)

    def is_fetchable(self, number: int) -> bool:
        """Whether its user can fetch the object: it carries the mark, or is in hand."""
        return bool(self.flags[number] & (KEPT | IN_HAND))

    def may_keep(self, numbers: range) -> bool:
        """Whether the marks of an array, or of one object, can be set: before the submit, and while all stay anyway."""
        return not self.is_submitted_object(numbers[0]) or self.first_unkept(numbers, MAY_BE_KEPT) is None

    def respec(self, task: int, spec: int) -> None:
        """Gives a task that is not submitted another spec."""
        self.specs[task] = spec
        self.columns.spec[task - self.columns.first_task] = spec

    def adopt(self, specs: array[int], flags: bytearray) -> None:
        """Goes on after tasks with these specs and objects with these flags, all submitted by another client."""
        self.specs = specs
        self.places = array("I", bytes(4 * len(specs)))
        self.flags = flags
        self.start_over()

    def start_over(self) -> None:
        """Begins a fresh graph after a submit; numbers go on."""
        self.columns = Columns(len(self.specs), len(self.flags))


def in_place(numbers: range) -> slice:
    """The slice of a column that these rows are, in ascending order."""
    ascending = numbers if numbers.step > 0 else numbers[::-1]
    return slice(ascending.start, ascending.stop, ascending.step)
