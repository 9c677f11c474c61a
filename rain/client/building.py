"""The graph side of a session: numbers, specs, flags and states of its tasks and objects; safe to use from threads."""

from __future__ import annotations

import os
import threading
import weakref
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import compress
from threading import get_ident
from typing import TYPE_CHECKING

from rain.client.arrays import ObjectArray
from rain.client.graph import (
    CONSTANT,
    CONSTANT_LABEL,
    HELD,
    IS_HELD,
    IS_LENT_ONLY,
    WITH_KEPT,
    WITH_LENT,
    WITHOUT_LENT,
    AnyConstant,
    GraphBuilder,
    Rows,
)
from rain.client.large import LargeConstants
from rain.client.makers import Makers
from rain.client.numbers import number_column
from rain.client.places import Places
from rain.client.plans import Plans
from rain.client.records import OBJECT_FINISHED, OBJECT_UNFINISHED, WAITING, ObjectPlan, TaskPlan
from rain.client.shipping import ShippedFunctions
from rain.client.submission import Order
from rain.core.errors import RainException
from rain.core.ids import MAX_ID, object_name
from rain.core.spec import TaskSpec
from rain.protocol.client import MAX_PART_BYTES

if TYPE_CHECKING:
    from rain.client.blocks import Block
    from rain.client.keeping import InHand
    from rain.client.numbers import InputItem
    from rain.client.objects import DataObject
    from rain.client.task import Task

_NEW_OBJECT_STATES = bytes(OBJECT_FINISHED if flags & CONSTANT else OBJECT_UNFINISHED for flags in range(256))


#: So that a forked child finds no lock held by a thread that it does not have.
_graphs: weakref.WeakSet[SessionGraph] = weakref.WeakSet()


def _free_locks() -> None:
    for graph in list(_graphs):
        graph.lock = threading.RLock()
        graph.is_forked = True


os.register_at_fork(after_in_child=_free_locks)


class SessionGraph:
    """Everything that a session knows of its tasks and objects without their handles.

    Specs are interned for as long as the session lives; `functions` are looked at anew after each submit.
    """

    def __init__(self, session: int) -> None:
        self.session = session
        self.lock = threading.RLock()
        #: In a child of the process that made it, where its session may have no connection.
        self.is_forked = False
        _graphs.add(self)
        self.builder = GraphBuilder()
        self.specs: list[TaskSpec] = []
        self.functions = ShippedFunctions()
        self.large_constants = LargeConstants()
        self.places = Places()
        #: Per submitted task and object: its state, as `client.records` numbers them.
        self.task_states = bytearray()
        #: How many of those another client submitted.
        self.n_adopted = 0
        self.object_states = bytearray()
        #: Of submitted constants, those that are not the usual one; not of what another client submitted.
        self.constant_labels: dict[int, str | None] = {}
        self.n_adopted_objects = 0
        self._spec_numbers: dict[TaskSpec, int] = {}
        self._n_sent_specs = 0
        self._plans = Plans()
        self._makers = Makers()
        #: None: only what was kept stays.
        self.in_hand: InHand | None = None
        #: Objects that tasks of the next submit read, unkept meanwhile: the server is told after the submit.
        self._unkeep_later: list[int] = []
        #: The arrays that were made: where their tasks begin and end, ascending; and those of which there are handles.
        self._array_starts = array("I")
        self._array_ends = array("I")
        self._blocks: weakref.WeakValueDictionary[int, Block] = weakref.WeakValueDictionary()

    def intern(self, spec: TaskSpec) -> int:
        """The number of a spec in this session."""
        number = self._spec_numbers.get(spec)
        if number is None:
            with self.lock:
                number = self._spec_numbers.setdefault(spec, len(self.specs))
                if number == len(self.specs):
                    self.specs.append(spec)
        return number

    def add_task(self, spec: int, n_outputs: int, inputs: Sequence[InputItem], args: bytes) -> tuple[int, int]:
        """Appends a task; returns its number and that of its first output.

        Raises RainException, with nothing changed, for an input of another session or one that is gone.
        """
        if len(args) > MAX_PART_BYTES:
            self.check_args(len(args))
        with self.lock:
            builder = self.builder
            if inputs:
                self.check_inputs(inputs)
            if len(builder.flags) + n_outputs > MAX_ID or len(builder.specs) >= MAX_ID:
                self.check_room(1, n_outputs)
            self._use(inputs)
            if get_ident() != self._makers.current:
                self._note_maker()
            numbers = number_column(inputs) if inputs else ()
            return builder.add_task(spec, n_outputs, numbers, args, self.places.note())

    def add_tasks(self, spec: int, n_outputs: int, inputs: Iterable[InputItem], rows: Rows) -> tuple[int, int]:
        """Appends tasks that are alike; returns the numbers of the first one and of its first output.

        `inputs`: what `rows.inputs` are the numbers of. They and the room for the tasks were checked before.
        """
        with self.lock:
            self._use(inputs)
            self._note_maker()
            return self.builder.add_tasks(spec, n_outputs, rows, self.places.note())

    def check_args(self, size: int) -> None:
        """Raises RainException where the arguments of a task have more bytes than can be sent."""
        if size > MAX_PART_BYTES:
            raise RainException(
                f"the arguments of a task have {size} bytes, at most {MAX_PART_BYTES} can be sent: "
                "make data objects of the large ones, blob(…)"
            )

    def check_room(self, n_tasks: int, n_objects: int) -> None:
        """Raises RainException where the session cannot have so many more."""
        if max(len(self.builder.specs) + n_tasks, len(self.builder.flags) + n_objects) > MAX_ID:
            raise RainException(f"a session has at most {MAX_ID} tasks and as many objects: open another one")

    def register(self, block: Block, n_tasks: int) -> None:
        """Has errors know the tasks of an array as its elements."""
        with self.lock:
            self._array_starts.append(block.first_task)
            self._array_ends.append(block.first_task + n_tasks)
            self._blocks[block.first_task] = block

    def element(self, task: int) -> tuple[int, int, Block | None] | None:
        """Which element of how many a task is, and the array's block as long as anybody has it; None for others."""
        place = bisect_right(self._array_starts, task) - 1
        if place < 0 or task >= self._array_ends[place]:
            return None
        first = self._array_starts[place]
        return task - first, self._array_ends[place] - first, self._blocks.get(first)

    def check_inputs(self, inputs: Iterable[InputItem]) -> None:
        """Raises RainException unless a task of this session may read all these objects."""
        with self.lock:
            for item in inputs:
                self._check_input(item)

    def add_constants(self, constants: Iterable[AnyConstant]) -> list[int]:
        """Appends constants; returns their numbers."""
        with self.lock:
            self._note_maker()
            return [self.builder.add_constant(constant) for constant in constants]

    def name_of(self, task: int) -> str | None:
        """The name of a task."""
        return self.spec_of(task).name

    def spec_of(self, task: int) -> TaskSpec:
        """The spec of a task."""
        return self.specs[self.builder.specs[task]]

    def plan(self, task: Task) -> TaskPlan:
        """What `task.spec` shows; the same one, whose dicts may be changed, until the submit."""
        with self.lock:
            return self._plans.of_task(task, is_submitted=self.builder.is_submitted_task(task._number))

    def object_plan(self, number: int, label: str | None, content_type: str | None) -> ObjectPlan:
        """What `obj.spec` shows, likewise."""
        with self.lock:
            is_submitted = self.builder.is_submitted_object(number)
            name = object_name(self.session, number)
            return self._plans.of_object(number, name, label, content_type, is_submitted=is_submitted)

    def adopt(self, specs: Iterable[TaskSpec], task_specs: array[int], flags: bytearray) -> None:
        """Goes on where another client left: its specs, the one of each task, and the flags of its objects."""
        with self.lock:
            self.specs = list(specs)
            self._n_sent_specs = len(self.specs)
            self.builder.adopt(task_specs, flags)
            self.task_states = bytearray([WAITING]) * len(task_specs)
            self.n_adopted = len(task_specs)
            self.n_adopted_objects = len(flags)
            self.object_states = flags.translate(_NEW_OBJECT_STATES)

    def adopt_users(self, tasks: Iterable[tuple[int, bytes]], objects: Iterable[tuple[int, bytes]]) -> None:
        """What another client attached to these tasks and objects, as JSON."""
        with self.lock:
            self._plans.attached(dict(tasks), dict(objects))

    def unsubmitted_named(self, name: str) -> list[tuple[int, int]]:
        """Tasks of that name that are not submitted: their numbers and those of their first outputs."""
        with self.lock:
            columns = self.builder.columns
            rows = enumerate(zip(columns.spec, columns.first_output, strict=True), columns.first_task)
            return [(task, first_output) for task, (spec, first_output) in rows if self.specs[spec].name == name]

    def keep_all(self) -> None:
        """Marks everything that is not submitted as kept."""
        with self.lock:
            flags, first = self.builder.flags, self.builder.columns.first_object
            flags[first:] = flags[first:].translate(WITH_KEPT)

    def unkeep(self, objects: Iterable[DataObject | ObjectArray]) -> array[int]:
        """Takes marks away; returns the submitted objects of which the server is to be told now."""
        tell = array("I")
        with self.lock:
            builder = self.builder
            columns = builder.columns
            for item in objects:
                kept: Sequence[int] = ()
                if isinstance(item, ObjectArray):
                    kept = array("I", compress(item._numbers, builder.marks(item._numbers, IS_HELD)))
                    builder.unkeep_run(item._numbers)
                elif builder.flags[item._number] & HELD:
                    kept = (item._number,)
                    builder.unkeep(kept)
                if not kept or not builder.is_submitted_object(kept[0]):
                    continue
                if not columns.earlier and not columns.earlier_runs:
                    tell.extend(kept)
                    continue
                for number in kept:
                    (self._unkeep_later if columns.reads_earlier(number) else tell).append(number)
        return tell

    def order(self) -> Order | None:
        """What the next submit sends; None where nothing was built.

        Raises RainException, with nothing changed, for resources and attachments that cannot be.
        """
        users = self._plans.users()
        self._apply_plans()
        if self.in_hand is not None:
            self.in_hand.mark(self.builder.flags)
        if not self.builder.n_tasks and not self.builder.n_objects:
            return None
        specs = self.specs[self._n_sent_specs :]
        flags = self.builder.flags
        lent = self._makers.to_lend(len(flags))
        if lent:
            flags = bytearray(flags)
            for _, run in lent:
                flags[run.start : run.stop] = flags[run.start : run.stop].translate(WITH_LENT)
        return Order(self.session, self.builder.columns, flags, self._n_sent_specs, specs, *users, lent)

    def submitted(self, order: Order) -> list[int]:
        """What was built is at the server now; returns the objects to unkeep there."""
        builder = self.builder
        builder.flags = order.flags
        self._makers.submitted(order.lent)
        self.functions.submitted()
        if self.in_hand is not None:
            self.in_hand.submitted()
        first = builder.columns.first_object
        constants = builder.columns.constants.items()
        self.constant_labels |= {number: each.label for number, each in constants if each.label != CONSTANT_LABEL}
        self.task_states.extend(bytes([WAITING]) * builder.n_tasks)
        self.object_states.extend(builder.flags[first:].translate(_NEW_OBJECT_STATES))
        self._n_sent_specs = order.first_spec + len(order.specs)
        self._plans.submitted(order.task_users, order.object_users)
        builder.start_over()
        unkept, self._unkeep_later = self._unkeep_later, []
        return unkept + self.taken_back()

    def taken_back(self) -> list[int]:
        """What this thread made, another one submitted, and nobody has kept: the server need not hold it any longer."""
        flags = self.builder.flags
        unkept: list[int] = []
        for run in self._makers.taken_back():
            of_run = flags[run.start : run.stop]
            unkept += compress(run, of_run.translate(IS_LENT_ONLY))
            flags[run.start : run.stop] = of_run.translate(WITHOUT_LENT)
        return unkept

    def hold(self, task: Task, n_outputs: int) -> None:
        """Notes that there is a handle of a task that was just made, where that matters."""
        if self.in_hand is not None:
            with self.lock:
                # Another thread may have submitted it meanwhile.
                if not self.builder.is_submitted_task(task._number):
                    self.in_hand.note(task, n_outputs)

    def let_go(self) -> array[int]:
        """The submitted objects of which the last handle is gone, and which nothing else keeps."""
        with self.lock:
            dropped = array("I") if self.in_hand is None else self.in_hand.let_go(self.builder.flags)
            columns, first_new = self.builder.columns, self.builder.columns.first_object
            self._unkeep_later += [number for number in dropped if columns.reads_earlier(number)]
            return array("I", [n for n in dropped if n < first_new and not columns.reads_earlier(n)])

    def task_state(self, task: int) -> int:
        """The state of a task as a number; 0 before the submit."""
        return self.task_states[task] if task < len(self.task_states) else 0

    def object_state(self, obj: int) -> int:
        """The state of an object as a number; 0 before the submit."""
        return self.object_states[obj] if obj < len(self.object_states) else 0

    def _check_input(self, item: InputItem) -> None:
        if item._session._graph is not self:
            raise RainException(
                f"{item._described()} belongs to another session, and data do not pass between sessions: "
                f"fetch it there and make it a constant, blob(…), in session s{self.session}"
            )
        if not self.builder.is_submitted_object(item._number):
            return
        if isinstance(item, ObjectArray):
            gone = self.builder.first_unkept(item._numbers, IS_HELD)
            if gone is not None:
                raise RainException(gone_text(item[gone]))
        elif item._sendable is None and not self.builder.flags[item._number] & HELD:
            raise RainException(gone_text(item))

    def _note_maker(self) -> None:
        if get_ident() != self._makers.current:
            self._makers.change(get_ident(), len(self.builder.flags))

    def _use(self, inputs: Iterable[InputItem]) -> None:
        """Notes what tasks of this submit read of earlier ones."""
        builder = self.builder
        for item in inputs:
            if not builder.is_submitted_object(item._number):
                continue
            if isinstance(item, ObjectArray):
                builder.use_earlier_run(item._numbers)
            elif (constant := item._sendable) is not None:
                builder.use_constant(item._number, constant)
            else:
                builder.use_earlier(item._number)

    def _apply_plans(self) -> None:
        changed = self._plans.changed_requests()
        for task, request in changed.items():
            spec = self.spec_of(task)
            other = {name: getattr(spec, name) for name in spec.__struct_fields__ if name != "request"}
            self.builder.respec(task, self.intern(TaskSpec(request=request, **other)))
        self._plans.requests_applied(changed)


def gone_text(obj: DataObject) -> str:
    """Why an object of an earlier submit cannot be had."""
    return (
        f"{object_name(obj._session.session_id, obj._number)}, {obj._origin()}, was not kept, so it is gone. "
        "Call `.keep()` before `submit()`."
    )
