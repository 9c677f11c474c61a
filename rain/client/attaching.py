"""Reading a session that goes on with this client: its specs, and the columns of its tasks and objects, in pieces."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from rain.client.machine.effects import Trouble
from rain.core.errors import ProtocolViolation
from rain.core.spec import TaskSpec
from rain.protocol.attaching import GraphRead, ReadGraph
from rain.protocol.client import AttachSession, SessionAttached
from rain.protocol.columns import unpack

if TYPE_CHECKING:
    from rain.client.requests import Asking


class AttachedGraph(msgspec.Struct, frozen=True):
    """What is in a session that was attached."""

    specs: list[TaskSpec]
    #: Per task: number of its spec.
    spec: array[int]
    #: Per object: whether it is kept, and whether it is a constant.
    flags: bytearray


async def attach(
    ask: Asking, name: str, has_handle: Callable[[int], bool]
) -> tuple[SessionAttached, AttachedGraph | None] | Trouble:
    """The session of that name and what is in it; None in its place where this client has a handle of it."""
    found = await ask(lambda request: AttachSession(request, name))
    if isinstance(found, Trouble):
        return found
    assert isinstance(found, SessionAttached), "the server answers AttachSession with nothing else"
    if has_handle(found.session):
        return found, None
    graph = AttachedGraph([], array("I"), bytearray())
    left = found.n_specs + found.n_tasks + found.n_objects
    while left:
        page = await ask(
            lambda request: ReadGraph(request, found.session, len(graph.specs), len(graph.spec), len(graph.flags))
        )
        if isinstance(page, Trouble):
            return page
        assert isinstance(page, GraphRead), "the server answers ReadGraph with nothing else"
        graph.specs.extend(page.specs)
        graph.spec.extend(unpack("I", page.spec, "spec"))
        graph.flags.extend(page.flags)
        before, left = left, found.n_specs + found.n_tasks + found.n_objects - _n_rows(graph)
        if left >= before:
            raise ProtocolViolation(f"the server left out {left} rows of session {found.session}")
    return found, graph


def _n_rows(graph: AttachedGraph) -> int:
    return len(graph.specs) + len(graph.spec) + len(graph.flags)
