"""Handles of tasks."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar, Unpack

import msgspec

from rain.client.active import chosen_session
from rain.client.arrays import ObjectArray, TaskArray
from rain.client.numbers import expanded
from rain.client.objects import DataObject, to_dataobj
from rain.client.options import TaskOptions, settings_from
from rain.client.ports import OutputsLike, checked_label, outputs_from
from rain.client.records import TASK_STATES, TaskPlan, TaskRecord
from rain.core.errors import RainException
from rain.core.ids import task_name
from rain.core.labeled import LabeledList
from rain.core.spec import OutputSpec, TaskSpec

if TYPE_CHECKING:
    from rain.client.numbers import InputItem
    from rain.client.options import Settings
    from rain.client.session import Session
    from rain.data.instance import DataInstance

    InputLike: TypeAlias = "DataObject | Task | ObjectArray | TaskArray | tuple[str | None, DataObject | Task]"

T = TypeVar("T", bound="Task")


class Task:
    """A unit of work, part of a session's graph from the moment it is made; subclass it with a `TASK_TYPE` of your own.

    `inputs`: objects, one-output tasks, or (label, object) pairs. `outputs`: a number, labels, or `Output`s. `config`:
    what executors need to know of this kind of task. The other arguments: see `TaskOptions`.
    Compares and hashes by identity. A task stands for its only output. `await task` waits for it.
    """

    #: The kind of task, as executors know it.
    TASK_TYPE: ClassVar[str | None] = None

    __slots__ = ("__weakref__", "_first_output", "_info", "_inputs", "_number", "_outputs", "_session")

    _session: Session
    _number: int
    _first_output: int
    #: Arrays among them are expanded when they are asked for. None: made with another handle, the server knows them.
    _inputs: Sequence[InputItem] | None
    #: Made when they are asked for.
    _outputs: LabeledList[DataObject] | None
    _info: TaskRecord | None

    def __init__(
        self,
        inputs: Iterable[InputLike] = (),
        outputs: OutputsLike = 1,
        *,
        config: Any = None,
        task_type: str | None = None,
        **options: Unpack[TaskOptions],
    ) -> None:
        kind = task_type if task_type is not None else self.TASK_TYPE
        if not isinstance(kind, str) or not kind:
            raise RainException("a task needs a kind: pass task_type=, or make a subclass with TASK_TYPE")
        self._build(
            kind,
            list(inputs),
            outputs_from(outputs),
            settings_from(options, type(self).__name__),
            session=options.get("session"),
            config=b"" if config is None else msgspec.msgpack.encode(config),
        )

    def _build(
        self,
        kind: str,
        inputs: Sequence[Any],
        outputs: tuple[OutputSpec, ...],
        settings: Settings,
        *,
        session: Session | None,
        config: bytes = b"",
        args: bytes = b"",
    ) -> None:
        """Makes the task in the graph. Raises RainException with nothing changed."""
        objects, labels = _labeled_inputs(inputs)
        session = chosen_session(session)
        session._check_open("added to")
        graph = session._graph
        spec = spec_from(kind, outputs, settings, config=config)
        if labels is not None:
            spec = msgspec.structs.replace(spec, input_labels=labels)
        number, first_output = graph.add_task(graph.intern(spec), len(outputs), objects, args)
        self._set(session, number, first_output, objects)
        graph.hold(self, len(outputs))

    def _set(
        self,
        session: Session,
        number: int,
        first_output: int,
        inputs: Sequence[InputItem] | None,
    ) -> None:
        self._session = session
        self._number = number
        self._first_output = first_output
        self._inputs = inputs
        self._outputs = None
        self._info = None

    # ------------------------------------------------------------------ what it is

    @property
    def id(self) -> str:
        """Its name everywhere: "s1.t3"."""
        return task_name(self._session.session_id, self._number)

    @property
    def name(self) -> str | None:
        """The name that views show; a Python task has its function's, others None."""
        return self._spec.name

    @property
    def session(self) -> Session:
        """The session it belongs to."""
        return self._session

    @property
    def spec(self) -> TaskPlan:
        """What its author said of it; `spec.resources` and `spec.user` may be changed until the submit."""
        return self._session._graph.plan(self)

    @property
    def info(self) -> TaskRecord | None:
        """What became of it: after the first `update()`, or after a call that raised its failure."""
        return self._info

    @property
    def stdout(self) -> str | None:
        """The end of what its last attempt wrote to standard output; None before an `update()` or a raised failure.

        At most 16 KiB; a first line says how much was cut off. Nothing of a program that succeeded where that is an
        output. Of earlier attempts see `info.attempts`.
        """
        return None if self._info is None else self._info.stdout

    @property
    def stderr(self) -> str | None:
        """The same of standard error."""
        return None if self._info is None else self._info.stderr

    @property
    def state(self) -> str | None:
        """None before the submit, then "waiting" until a call brings news.

        That is "running", "finished", "failed" or "cancelled".
        """
        return TASK_STATES[self._session._graph.task_state(self._number)]

    @property
    def inputs(self) -> LabeledList[DataObject]:
        """The objects that it reads, by number or label."""
        if self._inputs is None:
            self._session.tasks._read_inputs(self)
        return LabeledList(expanded(self._inputs or ()), self._spec.input_labels or None)

    @property
    def outputs(self) -> LabeledList[DataObject]:
        """The objects that it makes, by number or label."""
        if self._outputs is None:
            with self._session._graph.lock:
                if self._outputs is None:
                    specs = self._spec.outputs
                    self._outputs = LabeledList(
                        [DataObject(self._session, self._first_output + i, self, None) for i in range(len(specs))],
                        [spec.label for spec in specs],
                    )
        return LabeledList(self._outputs)

    @property
    def output(self) -> DataObject:
        """Its only output. Raises RainException where it has none or several."""
        count = len(self._spec.outputs)
        if count != 1:
            found = f"{count} outputs, use `.outputs[number or label]`" if count else "no outputs"
            raise RainException(f"{self._described()} has {found}; exactly one was expected")
        if self._outputs is None:
            return self.outputs[0]
        return self._outputs[0]

    # ------------------------------------------------------------------ what to do with it

    def keep_outputs(self: T) -> T:
        """Keeps all outputs; before the submit only."""
        self._session._keep(self.outputs.data)
        return self

    def unkeep_outputs(self: T) -> T:
        """Takes `keep()` of all outputs back."""
        self._session.unkeep(self.outputs.data)
        return self

    def fetch_outputs(self, timeout: float | None = None) -> list[DataInstance]:
        """The values of all outputs, in order."""
        return self._session.fetch(self.outputs.data, timeout=timeout)

    def wait(self, timeout: float | None = None) -> None:
        """Waits until it is finished. Raises TaskException where it failed or was cancelled."""
        self._session.wait([self], timeout=timeout)

    def update(self) -> None:
        """Refreshes `state` and `info`."""
        self._session.update([self])

    def cancel(self) -> None:
        """Stops it and everything that depends on it."""
        self._session.cancel([self])

    def __await__(self) -> Generator[Any, None, None]:
        return self._session._waiting([self]).__await__()

    def __reduce__(self) -> Any:
        raise RainException(
            f"{self._described()} cannot be pickled: it means something only as an argument of a task of its session"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._described()}, {self.state or 'not submitted'}>"

    def _repr_html_(self) -> str | None:
        from rain.client.reprs import task_html

        return task_html(self)

    @property
    def _spec(self) -> TaskSpec:
        return self._session._graph.spec_of(self._number)

    def _described(self) -> str:
        name = self._spec.name
        return f"{self.id} '{name}'" if name else f"{self.id} ({self._spec.kind})"


def spec_from(
    kind: str, outputs: tuple[OutputSpec, ...], settings: Settings, *, config: bytes = b"", body: bytes = b""
) -> TaskSpec:
    """The spec of a task that was told these settings."""
    return TaskSpec(
        kind=kind,
        name=settings.name,
        outputs=outputs,
        request=settings.request,
        config=config,
        body=body,
        retries=settings.retries,
        priority=settings.priority,
        timeout_s=settings.timeout_s,
    )


def _labeled_inputs(inputs: Sequence[Any]) -> tuple[list[InputItem], tuple[str | None, ...] | None]:
    objects: list[InputItem] = []
    labels: list[str | None] = []
    for item in inputs:
        is_pair = isinstance(item, tuple) and len(item) == 2
        label, value = item if is_pair else (None, item)
        if isinstance(value, TaskArray):
            value = value.output
        if isinstance(value, ObjectArray) and label is None:
            objects.append(value)
            labels += [None] * len(value)
            continue
        objects.append(to_dataobj(value))
        labels.append(checked_label(label, "input"))
    if not any(label is not None for label in labels):
        return objects, None
    used = [label for label in labels if label is not None]
    if len(set(used)) != len(used):
        raise RainException(f"inputs: a label occurs twice among {used}; labels of one task are unique")
    return objects, tuple(labels)
