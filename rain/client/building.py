"""The graph side of a session: numbers, specs, flags and states of its tasks and objects; safe to use from threads."""

from __future__ import annotations

import threading
import weakref
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any

from rain.client.arrays import ObjectArray
from rain.client.graph import CONSTANT, WITH_KEPT, Constant, GraphBuilder, Rows
from rain.client.numbers import number_column
from rain.client.options import describe_request, request_of
from rain.client.places import Places
from rain.client.records import OBJECT_FINISHED, OBJECT_UNFINISHED, WAITING, TaskPlan
from rain.client.submission import Order
from rain.core.errors import RainException
from rain.core.ids import MAX_ID, object_name
from rain.core.spec import TaskSpec
from rain.protocol.client import MAX_PART_BYTES

if TYPE_CHECKING:
    from rain.client.blocks import Block
    from rain.client.numbers import InputItem
    from rain.client.objects import DataObject

_NEW_OBJECT_STATES = bytes(OBJECT_FINISHED if flags & CONSTANT else OBJECT_UNFINISHED for flags in range(256))


class SessionGraph:
    """Everything that a session knows of its tasks and objects without their handles.

    `spec_numbers` interns specs, and caches the numbers of those who make many tasks alike (by identity, as keys of
    `numbers_of`), for as long as the session lives.
    """

    def __init__(self, session: int) -> None:
        self.session = session
        self.lock = threading.RLock()
        self.builder = GraphBuilder()
        self.specs: list[TaskSpec] = []
        self.numbers_of: dict[Any, int] = {}
        #: Pickled functions, once per session, likewise.
        self.bodies: dict[Any, bytes] = {}
        self.places = Places()
        #: Per submitted task and object: its state, as `client.records` numbers them.
        self.task_states = bytearray()
        self.object_states = bytearray()
        self._spec_numbers: dict[TaskSpec, int] = {}
        self._n_sent_specs = 0
        #: Plans that were handed out and may have been changed, by task.
        self._plans: dict[int, tuple[TaskPlan, dict[str, Any]]] = {}
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
            raise RainException(
                f"the arguments of a task have {len(args)} bytes, at most {MAX_PART_BYTES} can be sent: "
                "make data objects of the large ones, blob(…)"
            )
        with self.lock:
            builder = self.builder
            self.check_inputs(inputs)
            self.check_room(1, n_outputs)
            self._use(inputs)
            numbers = number_column(inputs) if inputs else ()
            return builder.add_task(spec, n_outputs, numbers, args, self.places.note())

    def add_tasks(self, spec: int, n_outputs: int, inputs: Iterable[InputItem], rows: Rows) -> tuple[int, int]:
        """Appends tasks that are alike; returns the numbers of the first one and of its first output.

        `inputs`: what `rows.inputs` are the numbers of. They and the room for the tasks were checked before.
        """
        with self.lock:
            self._use(inputs)
            return self.builder.add_tasks(spec, n_outputs, rows, self.places.note())

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

    def add_constants(self, constants: Iterable[Constant]) -> list[int]:
        """Appends constants; returns their numbers."""
        with self.lock:
            return [self.builder.add_constant(constant) for constant in constants]

    def name_of(self, task: int) -> str | None:
        """The name of a task."""
        return self.spec_of(task).name

    def spec_of(self, task: int) -> TaskSpec:
        """The spec of a task."""
        return self.specs[self.builder.specs[task]]

    def plan(self, task_id: str, task: int) -> TaskPlan:
        """What `task.spec` shows; the same one, whose resources may be changed, until the submit."""
        with self.lock:
            held = self._plans.get(task)
            if held is not None:
                return held[0]
            spec = self.spec_of(task)
            resources = describe_request(spec.request)
            plan = TaskPlan(task_id, spec.kind, spec.name, resources)
            if not self.builder.is_submitted_task(task):
                self._plans[task] = (plan, dict(resources))
            return plan

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
                numbers = item._numbers if isinstance(item, ObjectArray) else range(item._number, item._number + 1)
                if not numbers:
                    continue
                kept = array("I", compress(numbers, builder.marks(numbers)))
                builder.unkeep_run(numbers)
                if not builder.is_submitted_object(numbers[0]):
                    continue
                if not columns.earlier and not columns.earlier_runs:
                    tell.extend(kept)
                    continue
                for number in kept:
                    (self._unkeep_later if columns.reads_earlier(number) else tell).append(number)
        return tell

    def order(self) -> Order | None:
        """What the next submit sends; None where nothing was built. Raises RainException for changed resources."""
        self._apply_plans()
        if not self.builder.n_tasks and not self.builder.n_objects:
            return None
        specs = self.specs[self._n_sent_specs :]
        return Order(self.session, self.builder.columns, self.builder.flags, self._n_sent_specs, specs)

    def submitted(self, order: Order) -> list[int]:
        """What was built is at the server now; returns the objects to unkeep there."""
        builder = self.builder
        first = builder.columns.first_object
        self.task_states.extend(bytes([WAITING]) * builder.n_tasks)
        self.object_states.extend(builder.flags[first:].translate(_NEW_OBJECT_STATES))
        self._n_sent_specs = order.first_spec + len(order.specs)
        self._plans.clear()
        builder.start_over()
        unkept, self._unkeep_later = self._unkeep_later, []
        return unkept

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
            gone = self.builder.first_unkept(item._numbers)
            if gone is not None:
                raise RainException(gone_text(item[gone]))
        elif item._constant is None and not self.builder.is_kept(item._number):
            raise RainException(gone_text(item))

    def _use(self, inputs: Iterable[InputItem]) -> None:
        """Notes what tasks of this submit read of earlier ones."""
        builder = self.builder
        for item in inputs:
            if not builder.is_submitted_object(item._number):
                continue
            if isinstance(item, ObjectArray):
                builder.use_earlier_run(item._numbers)
            elif item._constant is not None:
                builder.use_constant(item._number, item._constant)
            else:
                builder.use_earlier(item._number)

    def _apply_plans(self) -> None:
        changed = {}
        for task, (plan, original) in self._plans.items():
            if plan.resources != original:
                changed[task] = request_of(plan.resources)
        for task, request in changed.items():
            spec = self.spec_of(task)
            other = {name: getattr(spec, name) for name in spec.__struct_fields__ if name != "request"}
            self.builder.respec(task, self.intern(TaskSpec(request=request, **other)))
            self._plans[task] = (self._plans[task][0], dict(self._plans[task][0].resources))


def gone_text(obj: DataObject) -> str:
    """Why an object of an earlier submit cannot be had."""
    return (
        f"{object_name(obj._session.session_id, obj._number)}, {obj._origin()}, was not kept, so it is gone. "
        "Call `.keep()` before `submit()`."
    )
