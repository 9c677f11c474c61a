"""The graph side of a session: numbers, specs, flags and states of its tasks and objects; safe to use from threads."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rain.client.graph import CONSTANT, KEPT, Constant, GraphBuilder
from rain.client.options import describe_request, request_of
from rain.client.places import Places
from rain.client.records import OBJECT_FINISHED, OBJECT_UNFINISHED, WAITING, TaskPlan
from rain.client.submission import Order
from rain.core.errors import RainException
from rain.core.ids import MAX_ID, object_name
from rain.core.spec import TaskSpec
from rain.protocol.client import MAX_PART_BYTES

if TYPE_CHECKING:
    from rain.client.objects import DataObject

#: Flags to flags with KEPT, by `bytes.translate`.
_WITH_KEPT = bytes(flags | KEPT for flags in range(256))
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

    def intern(self, spec: TaskSpec) -> int:
        """The number of a spec in this session."""
        number = self._spec_numbers.get(spec)
        if number is None:
            with self.lock:
                number = self._spec_numbers.setdefault(spec, len(self.specs))
                if number == len(self.specs):
                    self.specs.append(spec)
        return number

    def add_task(self, spec: int, n_outputs: int, inputs: Sequence[DataObject], args: bytes) -> tuple[int, int]:
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
            numbers = [self._input_number(obj) for obj in inputs] if inputs else ()
            if len(builder.flags) + n_outputs > MAX_ID:
                raise RainException(f"a session has at most {MAX_ID} objects: open another one")
            for obj in inputs:
                if builder.is_submitted_object(obj._number):
                    if obj._constant is not None:
                        builder.use_constant(obj._number, obj._constant)
                    else:
                        builder.use_earlier(obj._number)
            return builder.add_task(spec, n_outputs, numbers, args, self.places.note())

    def check_inputs(self, inputs: Iterable[DataObject]) -> None:
        """Raises RainException unless a task of this session may read all these objects."""
        with self.lock:
            for obj in inputs:
                self._input_number(obj)

    def add_constants(self, constants: Iterable[Constant]) -> list[int]:
        """Appends constants; returns their numbers."""
        with self.lock:
            return [self.builder.add_constant(constant) for constant in constants]

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
            flags[first:] = flags[first:].translate(_WITH_KEPT)

    def unkeep(self, objects: Iterable[int]) -> list[int]:
        """Takes marks away; returns the submitted objects of which the server is to be told now."""
        with self.lock:
            kept = [number for number in dict.fromkeys(objects) if self.builder.is_kept(number)]
            self.builder.unkeep(kept)
            columns = self.builder.columns
            tell = []
            for number in kept:
                if number in columns.earlier:
                    self._unkeep_later.append(number)
                elif self.builder.is_submitted_object(number):
                    tell.append(number)
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

    def _input_number(self, obj: DataObject) -> int:
        if obj._session._graph is not self:
            raise RainException(
                f"{obj._described()} belongs to another session, and data do not pass between sessions: "
                f"fetch it there and make it a constant, blob(…), in session s{self.session}"
            )
        number = obj._number
        if obj._constant is None and self.builder.is_submitted_object(number) and not self.builder.is_kept(number):
            raise RainException(gone_text(obj))
        return number

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
