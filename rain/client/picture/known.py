"""What is known of a session's graph: its own columns, and those that the server has of what was submitted."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rain.client.machine.effects import Trouble
from rain.client.picture.shape import GraphShape, Moment, outputs_among
from rain.core.errors import ProtocolViolation, RainException
from rain.core.ids import MAX_ID
from rain.protocol.attaching import GraphRead, ReadGraph
from rain.protocol.columns import EMPTY, pack, unpack
from rain.protocol.queries import ObjectNews, QueryObjects, QueryTasks, TaskNews

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from rain.client.requests import Asking
    from rain.client.session import Session

T = TypeVar("T")

#: States as the server numbers them to states of `client.records`, which begin with that of what is not submitted.
_STATES = bytes((number + 1) & 0xFF for number in range(256))


class KnownGraph:
    """What the tasks of a session read, as far as it was read from the server, and the states that it told last."""

    def __init__(self, session: Session) -> None:
        self._session = session
        #: Guards what follows; the pages arrive in the I/O thread.
        self._lock = threading.Lock()
        self._input_start = array("I", (0,))
        self._inputs = array("I")
        self._states = b""
        self._shape: GraphShape | None = None

    def look(self, limit_s: float) -> tuple[GraphShape, Moment, str]:
        """The graph, how it stands, and why that may be old or incomplete; waits at most so long for the server."""
        session = self._session
        graph = session._graph
        n_submitted = len(graph.task_states)
        remark = self._read(n_submitted, limit_s) if n_submitted and session._client is not None else ""
        with graph.lock, self._lock:
            shape = self._shape
            builder = graph.builder
            if shape is None or not self._is_current(shape):
                shape = self._shape = self._new_shape()
            # What the server told is newer than what the client remembers, where it told anything.
            states = bytearray(self._states[: shape.n_tasks])
            states += graph.task_states[len(states) :]
            states += bytes(shape.n_tasks - len(states))
            return shape, Moment(bytes(states), bytes(builder.flags)), remark

    def object_states(self, objects: Sequence[int], limit_s: float) -> dict[int, str | None]:
        """The states of these objects; of those that the server knows, and nothing where it does not answer."""
        session = self._session
        n_submitted = len(session._graph.object_states)
        asked = [obj for obj in objects if obj < n_submitted]
        if not asked or session._client is None or session.state == "closed":
            return {}
        number = session._session_id

        async def steps(ask: Asking) -> Any:
            return await ask(lambda request: QueryObjects(request, number, pack("I", asked)))

        try:
            news = session._requests.read(steps).result(limit_s)
        except (RainException, TimeoutError):
            return {}
        if not isinstance(news, ObjectNews) or len(news.objects) != len(asked):
            return {}
        return {obj: each.state for obj, each in zip(asked, news.objects, strict=True)}

    def states(self, limit_s: float) -> bytes:
        """The states of all submitted tasks, as `client.records` numbers them.

        As the server tells them, else as they were told last.
        """
        graph = self._session._graph
        if graph.task_states and self._session._client is not None:
            self._ask(self._read_states, limit_s)
        with self._lock:
            return self._states + bytes(graph.task_states[len(self._states) :])

    # ------------------------------------------------------------------ reading

    def _read(self, n_submitted: int, limit_s: float) -> str:
        async def steps(ask: Asking) -> Trouble | None:
            trouble = await self._read_inputs(ask, n_submitted)
            return trouble or await self._read_states(ask)

        return self._ask(steps, limit_s)

    def _ask(self, steps: Callable[[Asking], Coroutine[Any, Any, Trouble | None]], limit_s: float) -> str:
        """Why the server told nothing; "" where it did."""
        session = self._session
        if session.state == "closed":
            return "the session is closed: as far as it is known here"
        try:
            session._requests.read(steps).result(limit_s)
        except (RainException, ProtocolViolation, TimeoutError):
            return "the server does not answer: as far as it is known here"
        return ""

    async def _read_inputs(self, ask: Asking, n_tasks: int) -> Trouble | None:
        number = self._session._session_id
        while (first := len(self._input_start) - 1) < n_tasks:
            page = await ask(lambda request: ReadGraph(request, number, MAX_ID, first, MAX_ID, edges=True))
            if isinstance(page, Trouble):
                return page
            assert isinstance(page, GraphRead), "the server answers ReadGraph with nothing else"
            self._add(first, unpack("I", page.input_end, "input_end"), unpack("I", page.inputs, "inputs"))
        return None

    def _add(self, first: int, input_end: array[int], inputs: array[int]) -> None:
        with self._lock:
            if first != len(self._input_start) - 1:
                return  # another thread's drawing read the same
            if not input_end or input_end[-1] != len(self._inputs) + len(inputs):
                raise ProtocolViolation(f"the server told {len(inputs)} inputs of {len(input_end)} tasks from {first}")
            self._inputs.extend(inputs)
            self._input_start.extend(input_end)

    async def _read_states(self, ask: Asking) -> Trouble | None:
        number = self._session._session_id
        news = await ask(lambda request: QueryTasks(request, number, EMPTY, states_only=True, all_tasks=True))
        if isinstance(news, Trouble):
            return news
        assert isinstance(news, TaskNews), "the server answers QueryTasks with nothing else"
        with self._lock:
            self._states = bytes(news.states).translate(_STATES)
        return None

    # ------------------------------------------------------------------ putting together

    def _is_current(self, shape: GraphShape) -> bool:
        builder = self._session._graph.builder
        n_edges = len(self._inputs) + len(builder.columns.inputs)
        return (shape.n_tasks, shape.n_objects, len(shape.inputs), len(shape.names)) == (
            len(builder.specs),
            len(builder.flags),
            n_edges,
            len(self._session._graph.specs),
        )

    def _new_shape(self) -> GraphShape:
        graph = self._session._graph
        builder, columns = graph.builder, graph.builder.columns
        start = self._input_start[: columns.first_task + 1]
        inputs = self._inputs[: start[-1]]
        # What could not be read is drawn without its edges.
        start.extend(array("I", (len(inputs),)) * (columns.first_task + 1 - len(start)))
        position = len(inputs)
        for count in columns.n_inputs:
            position += count
            start.append(position)
        inputs.extend(columns.inputs)
        return GraphShape(
            session=self._session._session_id,
            names=[spec.name or str(spec.kind) for spec in graph.specs],
            output_labels=[tuple(output.label for output in spec.outputs) for spec in graph.specs],
            spec=builder.specs[:],
            input_start=start,
            inputs=inputs,
            is_output=outputs_among(builder.flags),
            constant_labels=graph.constant_labels | {n: constant.label for n, constant in columns.constants.items()},
            first_labelled=graph.n_adopted_objects,
        )
